package dlq

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

// Settled returns how the message of a replay was settled. ok is false until it is. h is what
// Replay has yielded, with the Outcome Replayed or AlreadyReplayed; ask within a month.
func (d *Store) Settled(ctx context.Context, h Handled) (s outbox.Settlement, ok bool, err error) {
	n, ok, err := d.noted(ctx, h.Source, h.ReplayID)
	if ok || err != nil {
		return n.Settlement, ok, err
	}
	if waits, err := d.waits(ctx, h.Sequence); waits || err != nil {
		return "", false, err
	}
	// It left the queue between the two looks, or by the hand of somebody who writes no note.
	n, ok, err = d.noted(ctx, h.Source, h.ReplayID)
	if ok || err != nil || h.Sequence == 0 {
		return n.Settlement, ok, err
	}
	for l, err := range d.List(ctx, Query{Sources: []string{h.Source}, IDs: []string{h.ReplayID}}) {
		if errors.As(err, new(*UnreadableError)) {
			continue
		}
		return l.Settlement, err == nil, err
	}
	return outbox.Delivered, true, nil
}

// ReplayNote is how a replay of a message was settled.
type ReplayNote struct {
	ID         string            `json:"id"`
	Settlement outbox.Settlement `json:"settlement"`
}

// maxNotes bounds the replays of one message that are asked for.
const maxNotes = 100

// Replays returns how the replays of a message of a source were settled. The ledger remembers that for
// a month. It leaves out a replay that is not settled, or whose id an application's message had. It
// makes one request for each replay.
func (d *Store) Replays(ctx context.Context, source, id string) (notes []ReplayNote, err error) {
	for n := 1; n <= maxNotes; n++ {
		replay := replayID(id, n)
		found, ok, err := d.noted(ctx, source, replay)
		if err != nil || !ok {
			return notes, err
		}
		notes = append(notes, ReplayNote{ID: replay, Settlement: found.Settlement})
	}
	return notes, nil
}

// waits reports whether the work queue holds a message of this sequence.
func (d *Store) waits(ctx context.Context, sequence uint64) (bool, error) {
	if sequence == 0 {
		return false, nil
	}
	_, err := d.queue.At(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil, jsapi.Explain(err, d.js, "look at a message of the work queue")
}
