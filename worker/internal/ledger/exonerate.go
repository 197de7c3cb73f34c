package ledger

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

// Alibi is what a live worker says of a delivery that came to no end because its lease was lost.
type Alibi struct {
	// Noted: the worker noted the start of the attempt. Alone: the message was its only suspect.
	Noted, Alone bool
	// Sent: the far side may have the message.
	Sent bool
}

// Exonerate takes one start back from the record of a message, or notes that there was none
// to suspect it for. Others may write to the record at the same time: an error asks for a
// repeat.
func (l *Ledger) Exonerate(ctx context.Context, m outbox.Message, a Alibi) error {
	kv, err := l.open(ctx)
	if err != nil {
		return err
	}
	entry, err := kv.Get(ctx, l.key(m))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		if a.Noted { // what the ledger knew is lost, and must not look as if it was not
			return nil
		}
		return l.Create(ctx, m, Record{Unknown: a.Sent})
	}
	if err != nil {
		return err
	}
	var r Record
	if err := json.Unmarshal(entry.Value(), &r); err != nil || ofAnother(r.Stored, m) || r.Settled != "" || r.Started == 0 {
		return nil // damaged, another's, or counted no more
	}
	r.Started--
	if a.Alone {
		r.Alone = max(0, r.Alone-1)
	}
	r.Unknown = r.Unknown || a.Sent
	return l.write(ctx, m, r, jetstream.WithExpectLastSequencePerSubject(entry.Revision()))
}
