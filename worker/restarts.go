package worker

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// restarts notices that another NATS server answers than before. A single server that is
// killed forgets the deliveries of its last moments (it writes them down ten times a
// second): it delivers such a message once more, as if for the first time, while another
// worker still has it. A replicated consumer forgets nothing, because it delivers only
// what a majority has noted.
//
// What follows from that, for consumers without replicas:
//
//   - A lease from before the restart is not renewed: marks may be confirmed that are about
//     the delivery to another worker. It ends within an ack wait.
//   - Until then, nobody sends a message that must not be sent beside itself: one in order,
//     or one under hold.
//   - What came before the restart and was not sent yet is left alone: it comes again, at
//     once if the server forgot it and after the ack wait if it did not.
//
// A worker that starts learns of a restart from what others have left: see serverNote.
type restarts struct {
	conn    *nats.Conn
	ackWait time.Duration

	mu     sync.Mutex
	server string
	at     time.Time // when another server was seen; zero when there was none
	left   serverNote
}

func newRestarts(conn *nats.Conn, ackWait time.Duration) *restarts {
	return &restarts{conn: conn, ackWait: ackWait, server: conn.ConnectedServerId()}
}

// look answers the id of the server that this worker is or was last connected to.
func (r *restarts) look() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id := r.conn.ConnectedServerId(); id != "" && id != r.server {
		if r.server != "" {
			r.at = time.Now()
		}
		r.server = id
	}
	return r.server
}

// since is how long a message that was stored at the given time must be left alone yet.
func (r *restarts) since(stored time.Time) time.Duration {
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() || !stored.Before(r.at) {
		return 0
	}
	return time.Until(r.at.Add(r.ackWait))
}

// clocks of server and worker may differ by so much.
const clocks = 10 * time.Second

// explain reports whether a restart lets the server say something wrong at the given time:
// that a message is gone which it takes for unacknowledged. It finds that out when it looks
// for what is to be delivered again, an ack wait after it was delivered.
func (r *restarts) explain(at time.Time) bool {
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.at.IsZero() && at.After(r.at.Add(-clocks)) && at.Before(r.at.Add(2*r.ackWait+clocks))
}

// replicated reports whether several servers keep the state of a stream or consumer.
func replicated(c *jetstream.ClusterInfo) bool { return c != nil && len(c.Replicas) > 0 }

// contested is how long another worker may still have the message, because the server
// forgot that it delivered it, or its consumer was deleted.
func (w *Worker) contested(d *delivery) time.Duration {
	if remade := time.Unix(0, d.lane.remade.Load()); d.older && (d.ordered() || d.hold || d.unsure) && time.Since(remade) < w.config.AckWait {
		return w.config.AckWait - time.Since(remade)
	}
	if d.lane.replicated.Load() || d.contract != nil || !d.ordered() && !d.hold && !d.unsure {
		return 0
	}
	return w.restarts.since(d.message.Stored)
}

var errNotConnected = errors.New("not connected to NATS")

// yield keeps a worker from acknowledging a message in order that another has taken over:
// JetStream would accept it, and deliver the next one beside what the other still sends.
// It leaves word instead, so that the other, or the next, does not send it again. Without
// a connection the client would keep the acknowledgement and deliver it who knows when.
func (s *settlement) yield() error {
	w, d := s.worker, s.delivery
	switch {
	case !d.ordered(), d.lease == nil: // without a lease: nobody has it, the server delivers it no more
		return nil
	case w.keeper.holds(d.lease) && w.conn.IsConnected():
		return nil
	case w.keeper.holds(d.lease):
		return errNotConnected
	}
	return s.leave()
}

// leave has whoever gets the message next acknowledge it.
func (s *settlement) leave() error {
	if err := s.leaveWord(); err != nil {
		return err
	}
	return backoff.Permanent(ErrLeaseLost)
}

// leaveWord notes in the ledger that everything but the ack is done: who gets the message
// next acknowledges it and does nothing else.
func (s *settlement) leaveWord() error {
	if s.delivery.verdict.done {
		return nil // that is where it comes from
	}
	if err := s.worker.ledger.Store(s.ctx(), s.delivery.message, s.word()); err != nil {
		return fmt.Errorf("leaving word of a settlement: %w", err)
	}
	return nil
}

// word is what the ledger is to hold of a message that is settled but for the ack.
func (s *settlement) word() ledger.Record {
	rec := s.delivery.record
	rec.Settled, rec.Status, rec.Error = s.delivery.verdict.settlement, s.delivery.verdict.answer.Status, s.delivery.verdict.err
	return rec
}
