package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// At returns the dead letter at a place in the stream, with the body that is stored in it. The
// error is [ErrNotFound] if there is none, or no longer, and an [*UnreadableError] if the message
// there is no dead letter.
func (d *Store) At(ctx context.Context, sequence uint64) (Stored, error) {
	l, err := d.read(ctx, sequence)
	if err == nil && !l.Sealed() {
		d.readEvent(&l, l.Body)
	}
	return l, err
}

// Last returns the place of the last dead letter in the stream; 0 if there never was one.
func (d *Store) Last(ctx context.Context) (uint64, error) {
	state, err := d.deadState(ctx)
	return state.LastSeq, err
}

// Of returns the dead letter, without its body, of the message with an id and a sequence in the work
// queue. It looks the subject up directly, so the number of dead letters does not matter. Without a
// source it takes the dead letter of any source. ErrNotFound means that there is none.
func (d *Store) Of(ctx context.Context, source, id string, sequence uint64) (Stored, error) {
	msg, err := d.letters.Last(ctx, d.config.Prefix.DeadSubject(cmp.Or(source, "*"), "*", d.config.Prefix.DeadToken(id, sequence)))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return Stored{}, fmt.Errorf("outbox: message %s: %w", wire.Line(id), ErrNotFound)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return Stored{}, d.missing(d.config.Prefix.DeadStream())
	case err != nil:
		return Stored{}, jsapi.Explain(err, d.js, "read a dead letter")
	}
	return d.decode(outbox.Stored{Subject: msg.Subject, Header: msg.Header, Sequence: msg.Sequence, Time: msg.Time}, len(msg.Data))
}
