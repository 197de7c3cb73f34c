package dlq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/publish"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// noteTTL is how long the settlement of a replay is remembered: as long as it may take
// until a replay that was killed in between is run again.
const noteTTL = 30 * 24 * time.Hour

// note is what the ledger remembers of a replay that was settled.
type note struct {
	Position   uint64            `json:"position"`
	Settlement outbox.Settlement `json:"settlement"`
}

// NoteReplay notes in the ledger how a replay was settled, for a month. The
// worker does so before it acknowledges the message: from then on the queue no
// longer shows that the replay was ever published, and the dead letter it came
// from may still be there. Other messages than replays leave no note.
func NoteReplay(ctx context.Context, js jetstream.JetStream, p contract.Prefix, m outbox.Message, s outbox.Settlement) error {
	if m.ReplayOf == "" || m.Source == "" {
		return nil
	}
	data, err := json.Marshal(note{Position: m.Position, Settlement: s})
	if err != nil {
		return err
	}
	// Published, not put: a KV update cannot carry a TTL.
	js = jsapi.Present(js)
	if _, err := js.Publish(ctx, jsapi.BucketSubject(js, p.LedgerBucket(), noteKey(p, m.Source, m.ID)), data, jetstream.WithMsgTTL(noteTTL)); err != nil {
		return fmt.Errorf("outbox: note the settlement of replay %s: %w", m.ID, err)
	}
	return nil
}

func noteKey(p contract.Prefix, source, id string) string {
	return noteKeys + "." + source + "." + p.DeadToken(id, 0)
}

// noted reads the note of a replay; none is no error.
func (d *Store) noted(ctx context.Context, source, id string) (n note, ok bool, err error) {
	key := noteKey(d.config.Prefix, source, id)
	var entry jetstream.KeyValueEntry
	err = d.ask(ctx, "read the note of a replay in the ledger", func(ctx context.Context, kv jetstream.KeyValue) (err error) {
		entry, err = kv.Get(ctx, key)
		return err
	})
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return note{}, false, nil
	}
	if err != nil {
		return note{}, false, err
	}
	if err := json.Unmarshal(entry.Value(), &n); err != nil {
		return note{}, false, fmt.Errorf("outbox: key %s in bucket %s is damaged: it said how a replay ended; when no other replay runs, delete the key, then discard the dead letter if Redox has the message, or else replay it: %w", key, d.config.Prefix.LedgerBucket(), err)
	}
	return n, true, nil
}

// published reports whether the replay r was stored before, under the lock c. The
// queue is looked at before the notes: a message leaves the one only when it is
// in the other.
func (d *Store) published(ctx context.Context, r replayMessage, c lock) (bool, error) {
	for from := c.After + 1; ; {
		msg, err := d.queue.Next(ctx, r.msg.Subject, from)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return false, jsapi.Explain(err, d.js, "look for a replay in the work queue")
		}
		if r.is(msg) {
			return true, nil
		}
		from = msg.Sequence + 1
	}
	n, ok, err := d.noted(ctx, r.source, r.id)
	if err != nil || ok {
		return ok && n.Position == r.position, err
	}
	if time.Since(c.made) < publish.RepeatFor {
		return false, nil // the work queue still recognises it
	}
	return d.deadAgain(ctx, r)
}

// deadAgain reports whether the replay r is a dead letter itself: somebody else than
// a worker may have settled it.
func (d *Store) deadAgain(ctx context.Context, r replayMessage) (bool, error) {
	for l, err := range d.List(ctx, Query{Sources: []string{r.source}, IDs: []string{r.id}}) {
		if errors.As(err, new(*UnreadableError)) {
			continue
		}
		if err != nil || l.Position() == r.position {
			return err == nil, err
		}
	}
	return false, nil
}

// own reports whether the message that the work queue knows under the id of r is r
// itself, published before: by this run, by another or by one that was killed.
func (d *Store) own(ctx context.Context, r replayMessage, sequence, after uint64) (bool, error) {
	msg, err := d.queue.At(ctx, sequence)
	if err == nil {
		return r.is(msg), nil
	}
	if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, jsapi.Explain(err, d.js, "look for a replay in the work queue")
	}
	n, ok, err := d.noted(ctx, r.source, r.id)
	if err != nil || ok {
		return ok && n.Position == r.position, err
	}
	// Settled without a note, by a worker that writes none.
	return sequence > after, nil
}

// is compares what tells a replay from all other messages.
func (r replayMessage) is(msg *jetstream.RawStreamMsg) bool {
	source, _, _, _ := r.prefix.ParseOut(msg.Subject)
	return source == r.source && wire.First(msg.Header, contract.HeaderMessageID) == r.id && wire.First(msg.Header, contract.HeaderOrderPosition) == wire.First(r.msg.Header, contract.HeaderOrderPosition)
}
