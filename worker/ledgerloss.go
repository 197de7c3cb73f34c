package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

// The ledger may be deleted, purged or damaged by accident. Under hold a message of which it
// should know something and does not may have been sent: it is held.

// bornKey says since when the ledger remembers everything: no earlier than the value. It is
// lost with all else.
const bornKey = "born"

// errDamaged is returned for an entry of the ledger that cannot be read. That there is one
// says that the message was in somebody's hand.
var errDamaged = errors.New("it is damaged")

// damagedRecord is what is known of such a message: any of it may have happened.
func damagedRecord(m outbox.Message) record {
	return record{Started: 1, Intent: true, Unknown: m.Lane != outbox.LaneRequest}
}

// forgot reports whether the ledger may have lost what it knew of a message: it is younger
// than the message.
func (l *ledger) forgot(ctx context.Context, m outbox.Message) (bool, error) {
	since, err := l.born(ctx)
	return err == nil && since.After(m.Stored), err
}

// born is since when the ledger remembers everything.
func (l *ledger) born(ctx context.Context) (time.Time, error) {
	kv, err := l.open(ctx)
	if err != nil {
		return time.Time{}, err
	}
	entry, err := kv.Get(ctx, bornKey)
	if err == nil {
		var since time.Time
		if json.Unmarshal(entry.Value(), &since) == nil {
			return since, nil
		}
		return entry.Created(), nil
	}
	if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return time.Time{}, fmt.Errorf("reading key %s of bucket %s: %w", bornKey, l.bucket, err)
	}
	return l.begin(ctx, kv)
}

// begin notes since when the ledger remembers everything: since it was made, if nobody has
// written into it before, else since now.
func (l *ledger) begin(ctx context.Context, kv jetstream.KeyValue) (time.Time, error) {
	stream, err := l.js.Stream(ctx, "KV_"+l.bucket)
	if err != nil {
		return time.Time{}, fmt.Errorf("looking at bucket %s: %w", l.bucket, err)
	}
	since := stream.CachedInfo().TimeStamp
	if stream.CachedInfo().State.LastSeq == 0 {
		since = stream.CachedInfo().Created
	}
	data, err := json.Marshal(since)
	if err != nil {
		return time.Time{}, err
	}
	if _, err := kv.Create(ctx, bornKey, data); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return time.Time{}, fmt.Errorf("writing key %s of bucket %s: %w", bornKey, l.bucket, err)
	}
	return since, nil
}

// remember has the ledger note since when it remembers everything, as soon as a worker starts.
func (w *Worker) remember(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if _, err := w.ledger.born(ctx); err != nil {
		w.log.Debug("since when the ledger remembers everything is not known", "error", err)
	}
}

// unremembered suspects a message under hold of which the ledger knows nothing although somebody had
// it, if the ledger has lost what it knew.
func (w *Worker) unremembered(d *delivery, rec record) (record, error) {
	if rec != (record{}) || d.first() || !d.hold && !d.unsure {
		return rec, nil
	}
	forgot, err := w.ledger.forgot(d.ctx, d.message)
	if err != nil || !forgot {
		return rec, err
	}
	w.log.Warn("the ledger was deleted, purged or made anew since the message was stored, and the message was in somebody's hand: it counts as possibly sent",
		"message", d.message.ID, "source", d.message.Source, "sequence", d.message.Sequence)
	return damagedRecord(d.message), nil
}
