package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// When a write that got no answer may be repeated. The queue recognises the id of what it
// still has, and for dedupWindow that of what was settled. But it keeps the latter in memory:
// a server that starts reads the ids of the messages that are stored, and no others (seen
// with nats-server 2.15.2). Where several servers keep the queue, the others still know; only
// a stop of all of them at once is like the restart of a single one.

// errMayBeStored is in every error that does not prove the contrary, but for ErrInDoubt.
var errMayBeStored = errors.New("it may be stored: publish it again with the same id")

// mayBeStored reports whether err leaves that open.
func mayBeStored(err error) bool { return errors.Is(err, errMayBeStored) || errors.Is(err, ErrInDoubt) }

// errStale: the body was stored so long ago, before the connection was lost, that it may be
// collected as nobody's.
var errStale = fmt.Errorf("its body was put into the object store more than %v ago: publish it again", repeatFor)

// What lets a queue forget ids.
var (
	errForgotten = fmt.Errorf("no try was confirmed for more than %v", repeatFor)
	errRestarted = errors.New("the NATS server was restarted, or the connection lost, after a try without an answer")
)

// mark notes who gets the first try.
func (s *sending) mark() {
	if conn := s.publisher.conn; !s.doubt {
		s.server, s.cluster = conn.ConnectedServerId(), conn.ConnectedClusterName() != ""
	}
}

// unrepeatable is the reason for which there must be no further try; nil when there may be.
func (s *sending) unrepeatable(ctx context.Context, began time.Time) error {
	switch late := time.Since(began) > repeatFor; {
	case s.doubt && !s.query && late:
		return errForgotten
	case s.doubt && !s.query && s.restarted() && !s.replicated(ctx):
		return errRestarted
	case late && s.object != "":
		return errStale
	}
	return nil
}

// restarted reports whether the server that got a try without an answer may have been
// restarted: another one answers, which a restarted one is too, or none; or the stream was
// missing meanwhile.
func (s *sending) restarted() bool {
	return s.away || s.publisher.conn.ConnectedServerId() != s.server
}

// replicated reports whether other servers know what one of them forgets. A single server
// needs no question. Most applications may not look at the stream: a cluster that does not
// answer is taken for one that keeps the queue more than once.
func (s *sending) replicated(ctx context.Context) bool {
	if !s.cluster {
		return false
	}
	if s.copies == 0 {
		ctx, cancel := context.WithTimeout(ctx, apiTimeout)
		defer cancel()
		s.copies = -1
		if stream, err := s.publisher.js.Stream(ctx, s.publisher.config.Prefix.OutStream()); err == nil {
			s.copies = stream.CachedInfo().Config.Replicas
		}
	}
	return s.copies != 1
}

// checked is the confirmation of a try, unless it may be that of a second copy: the server
// was restarted while the try was under way.
func (s *sending) checked(ctx context.Context, ack *jetstream.PubAck) (*jetstream.PubAck, error) {
	if s.query || !s.doubt || ack.Duplicate || !s.restarted() || s.replicated(ctx) {
		return ack, nil
	}
	return nil, fmt.Errorf("stored as message %d, and perhaps before: %w: %w", ack.Sequence, ErrInDoubt, errRestarted)
}

// maybe is what an error says of a message that had a try without an answer.
func (s *sending) maybe() error {
	if !s.query && !s.cluster && s.restarted() {
		return ErrInDoubt
	}
	return errMayBeStored
}

// unconfirmed is the error of giving up for a reason that is not the message's.
func (s *sending) unconfirmed(reason error) error {
	tries := "1 try"
	if s.tries != 1 {
		tries = fmt.Sprintf("%d tries", s.tries)
	}
	switch {
	case errors.Is(reason, errRestarted) && !s.missing.IsZero():
		return fmt.Errorf("not confirmed after %s, and %w: %w", tries, ErrInDoubt, s.noStream())
	case errors.Is(reason, errForgotten), errors.Is(reason, errRestarted):
		return fmt.Errorf("not confirmed after %s, and %w: %w", tries, ErrInDoubt, reason)
	case s.doubt:
		return fmt.Errorf("not confirmed after %s, and %w: %w", tries, s.maybe(), reason)
	case !s.missing.IsZero():
		return fmt.Errorf("%w: %w", s.noStream(), reason)
	default:
		return fmt.Errorf("nothing was stored: %w", reason)
	}
}
