package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

// When a write that got no answer may be repeated. The queue recognises the id of what it
// still has, and for ten minutes that of what was settled. But it keeps the latter in memory:
// a server that starts reads the ids of the messages that are stored, and no others (seen
// with nats-server 2.15.2). Where several servers keep the queue, the others still know; only
// a stop of all of them at once is like the restart of a single one.

// ErrInDoubt is what package outbox shows as its ErrInDoubt.
var ErrInDoubt = errors.New("it may be stored, and the queue may have forgotten its id: published again, it may be sent twice")

// ErrMayBeStored is in every error that does not prove the contrary, but for ErrInDoubt.
var ErrMayBeStored = errors.New("it may be stored: publish it again with the same id")

// Unfit is the error of a message that the publisher's Lint refuses.
type Unfit struct{ Err error }

// Error is that of Lint.
func (u Unfit) Error() string { return u.Err.Error() }

// Unwrap returns the error of Lint.
func (u Unfit) Unwrap() error { return u.Err }

// MayBeStored reports whether err leaves that open.
func MayBeStored(err error) bool { return errors.Is(err, ErrMayBeStored) || errors.Is(err, ErrInDoubt) }

// errStale: the body was stored so long ago, before the connection was lost, that it may be
// collected as nobody's.
var errStale = fmt.Errorf("its body was put into the object store more than %v ago: publish it again", RepeatFor)

// What lets a queue forget ids.
var (
	errForgotten = fmt.Errorf("no try was confirmed for more than %v", RepeatFor)
	errRestarted = errors.New("the NATS server was restarted, or the connection lost, after a try without an answer")
)

// mark notes who gets the first try.
func (m *Message) mark() {
	if conn := m.conn(); !m.doubt {
		m.server, m.cluster = conn.ConnectedServerId(), conn.ConnectedClusterName() != ""
	}
}

// unrepeatable is the reason for which there must be no further try; nil when there may be.
func (m *Message) unrepeatable(ctx context.Context, began time.Time) error {
	switch late := time.Since(began) > RepeatFor; {
	case m.doubt && !m.Query && late:
		return errForgotten
	case m.doubt && !m.Query && m.restarted() && !m.replicated(ctx):
		return errRestarted
	case late && m.Object != "":
		return errStale
	}
	return nil
}

// restarted reports whether the server that got a try without an answer may have been
// restarted: another one answers, which a restarted one is too, or none; or the stream was
// missing meanwhile.
func (m *Message) restarted() bool {
	return m.away || m.conn().ConnectedServerId() != m.server
}

// replicated reports whether other servers know what one of them forgets. A single server
// needs no question. Most applications may not look at the stream: a cluster that does not
// answer is taken for one that keeps the queue more than once.
func (m *Message) replicated(ctx context.Context) bool {
	if !m.cluster {
		return false
	}
	if m.copies == 0 {
		ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
		defer cancel()
		m.copies = -1
		jsapi.UntilRefused(ctx, m.conn(), jsapi.APIPrefix(m.Queue.JS)+"STREAM.INFO."+m.Queue.Stream, func(ctx context.Context) {
			if stream, err := m.Queue.JS.Stream(ctx, m.Queue.Stream); err == nil {
				m.copies = stream.CachedInfo().Config.Replicas
			}
		})
	}
	return m.copies != 1
}

// checked is the confirmation of a try, unless it may be that of a second copy: the server
// was restarted while the try was under way.
func (m *Message) checked(ctx context.Context, ack *jetstream.PubAck) (*jetstream.PubAck, error) {
	if m.Query || !m.doubt || ack.Duplicate || !m.restarted() || m.replicated(ctx) {
		return ack, nil
	}
	return nil, fmt.Errorf("stored as message %d, and perhaps before: %w: %w", ack.Sequence, ErrInDoubt, errRestarted)
}

// maybe is what an error says of a message that had a try without an answer.
func (m *Message) maybe() error {
	if !m.Query && !m.cluster && m.restarted() {
		return ErrInDoubt
	}
	return ErrMayBeStored
}

// unconfirmed is the error of giving up for a reason that is not the message's.
func (m *Message) unconfirmed(reason error) error {
	tries := "1 try"
	if m.tries != 1 {
		tries = fmt.Sprintf("%d tries", m.tries)
	}
	switch {
	case errors.Is(reason, errRestarted) && !m.missing.IsZero():
		return fmt.Errorf("not confirmed after %s, and %w: %w", tries, ErrInDoubt, m.noStream())
	case errors.Is(reason, errForgotten), errors.Is(reason, errRestarted):
		return fmt.Errorf("not confirmed after %s, and %w: %w", tries, ErrInDoubt, reason)
	case m.doubt:
		return fmt.Errorf("not confirmed after %s, and %w: %w", tries, m.maybe(), reason)
	case !m.missing.IsZero():
		return fmt.Errorf("%w: %w", m.noStream(), reason)
	default:
		return fmt.Errorf("nothing was stored: %w", reason)
	}
}
