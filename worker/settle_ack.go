package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

var errNotConnected = errors.New("not connected to NATS")

// yield keeps the worker from acknowledging an ordered message that another worker has taken
// over: JetStream would accept the ack, and deliver the next message while the other still sends
// this one. The worker notes the settlement in the ledger instead, so that nobody sends the
// message again. Without a connection it fails: the client would buffer the ack and send it at
// any later time.
func (s *settlement) yield() error {
	w, d := s.worker, s.delivery
	switch {
	case !d.ordered(), d.lease == nil: // without a lease: nobody has it, the server delivers it no more
		return nil
	case w.keeper.Holds(d.lease) && w.conn.IsConnected():
		return nil
	case w.keeper.Holds(d.lease):
		return errNotConnected
	}
	return s.leave()
}

// leave leaves the ack to the worker that has the message next.
func (s *settlement) leave() error {
	if err := s.leaveWord(); err != nil {
		return err
	}
	return backoff.Permanent(ErrLeaseLost)
}

// leaveWord notes in the ledger that only the ack is missing: the worker that has the message
// next acknowledges it and does nothing else.
func (s *settlement) leaveWord() error {
	if s.delivery.verdict.Done {
		return nil // that is where it comes from
	}
	if err := s.worker.ledger.Store(s.ctx(), s.delivery.message, s.word()); err != nil {
		return fmt.Errorf("leaving word of a settlement: %w", err)
	}
	return nil
}

// word is the record of a message that is settled but for the ack.
func (s *settlement) word() ledger.Record {
	rec := s.delivery.record
	rec.Settled, rec.Status, rec.Error = s.delivery.verdict.Settlement, s.delivery.verdict.Answer.Status, s.delivery.verdict.Text
	return rec
}

// unheard reports whether nobody took the ack because the consumer is gone, as when its source
// was given up. Waiting for the next consumer would occupy a slot.
func (s *settlement) unheard(err error) bool {
	w, d := s.worker, s.delivery
	if d.lease == nil || !errors.Is(err, nats.ErrNoResponders) {
		return false
	}
	_, err = w.js.Consumer(s.ctx(), w.config.Prefix.OutStream(), d.puller.consumer)
	return errors.Is(err, jetstream.ErrConsumerNotFound)
}

// outlived reports whether the message is gone with its queue. An ack would then be about another
// message that has its sequence now, or will have it. It does not ask about a quick delivery.
func (w *Worker) outlived(d *delivery) bool {
	if d.lease == nil || time.Since(d.began) < w.config.AckWait/3 {
		return false
	}
	ctx, cancel := context.WithTimeout(w.settling, stepTimeout)
	defer cancel()
	queue, err := w.js.Stream(ctx, w.config.Prefix.OutStream())
	if err != nil {
		return false // without a queue there is nobody to answer either
	}
	if queue.CachedInfo().State.LastSeq >= d.lease.Sequence {
		there, err := queue.GetMsg(ctx, d.lease.Sequence)
		if err != nil || there.Time.UnixNano() == d.lease.Stored {
			return false
		}
	}
	w.log.Warn("the queue was deleted and made anew while a message was in flight", "stream", w.config.Prefix.OutStream(),
		"message", d.message.ID, "source", d.message.Source, "sequence", d.message.Sequence)
	return true
}

// removeObject removes the body object of a message that is settled and acknowledged, unless a
// dead letter keeps it for a replay. An object that it cannot remove, or that a crash leaves
// behind, is an orphan that is collected later.
func (s *settlement) removeObject() {
	w, d := s.worker, s.delivery
	if d.message.BodyObject == "" || d.contract != nil || d.needsDeadLetter() {
		return
	}
	ctx, cancel := context.WithTimeout(w.settling, objectTimeout)
	defer cancel()
	var err error
	if d.first() {
		err = w.bodies.Delete(ctx, d.message.BodyObject)
	} else {
		// An earlier delivery may have written a dead letter before it was cut off.
		err = w.bodies.DeleteUnlessDead(ctx, d.message)
	}
	if err != nil {
		w.log.Warn("the body object of a settled message could not be removed; it is collected later",
			"message", d.message.ID, "source", d.message.Source, "error", err)
	}
}
