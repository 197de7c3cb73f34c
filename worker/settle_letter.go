package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/internal/failpoint"
	"github.com/redoxworker/redoxworker/worker/internal/lease"
)

// bury writes the dead letter where one is due, and before it what waits behind it.
func (s *settlement) bury() error {
	due := s.delivery.needsDeadLetter()
	if err := s.keepOrder(due); err != nil {
		return fmt.Errorf("noting what waits behind the message: %w", err)
	}
	failpoint.At("order")
	if !due {
		return nil
	}
	if err := s.deadLetter(); err != nil {
		return fmt.Errorf("writing the dead letter: %w", onePrefix{err})
	}
	failpoint.At("dead-letter")
	return nil
}

// needsDeadLetter: everything but delivered, except a REQUEST whose caller is told;
// poison always.
func (d *delivery) needsDeadLetter() bool {
	switch d.verdict.settlement {
	case outbox.Delivered:
		return false
	case outbox.Poison:
		return true
	default:
		return d.message.Lane != outbox.LaneRequest || d.message.ReplyTo == ""
	}
}

// keepOrder notes, before the dead letter is written, that what comes later must wait
// behind the message, and takes that back when the message was delivered after all: at a
// second try, as after a crash, or as a replay.
func (s *settlement) keepOrder(dead bool) error {
	w, m := s.worker, s.delivery.message
	at, ok := dlq.PlaceOf(&m)
	if !ok || !w.config.HoldAfterDeadLetter {
		return nil
	}
	switch {
	case dead:
		var err error
		s.behind, err = w.tokens.Hold(s.ctx(), at)
		return err
	case s.delivery.marked:
		return w.tokens.Release(s.ctx(), at)
	}
	return nil
}

// deadLetter writes the dead letter, and once more under a name of its own where its place is
// taken.
func (s *settlement) deadLetter() error {
	w, d := s.worker, s.delivery
	letter := dlq.Letter{
		Header: d.msg.header, Body: d.msg.body, MessageID: d.message.ID, Source: d.message.Source,
		Settlement: d.verdict.settlement, Error: d.verdict.err, Status: d.verdict.answer.Status, Attempts: d.attempts(),
		At: time.Now(), Subject: d.msg.subject, Sequence: d.message.Sequence, Behind: s.behind, Worker: w.config.ID,
	}
	taken, err := s.write(letter)
	if taken && err == nil {
		// A queue that was made anew gives sequences away again, and with them the names of
		// messages without an id.
		letter.MessageID += s.storedAt()
		_, err = s.write(letter)
	}
	return err
}

// storedAt is what tells a message from others of its id.
func (s *settlement) storedAt() string {
	return "@" + s.delivery.message.Stored.UTC().Format(time.RFC3339Nano)
}

// write stores a dead letter. taken reports that its place is that of an older message's.
func (s *settlement) write(letter dlq.Letter) (taken bool, err error) {
	w := s.worker
	msg := letter.Encode(w.config.Prefix)
	if w.tooLarge(msg) { // its headers may leave no room for the body beside them
		// The time it was stored tells it from one of its name in a queue before this one, whose
		// body may be there.
		if err := w.putAside(msg, w.config.Prefix.DeadBodyName(letter.Source, s.delivery.message.ID+s.storedAt(), letter.Sequence)); err != nil {
			return false, err
		}
	}
	if _, err = w.js.PublishMsg(s.ctx(), msg); dlq.IsAlreadyStored(err) {
		return dlq.StoredBefore(s.ctx(), w.js, w.config.Prefix, msg.Subject, s.delivery.message.Stored.Add(-lease.ClockSkew))
	}
	return false, err
}

// putAside moves the body of a dead letter or reply that is too large for a message into
// the object store.
func (w *Worker) putAside(msg *nats.Msg, name string) error {
	if len(msg.Data) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(w.settling, objectTimeout)
	defer cancel()
	if err := w.bodies.Put(ctx, name, msg.Data); err != nil {
		return err
	}
	msg.Data = nil
	msg.Header.Set(outbox.HeaderBodyObject, name)
	return nil
}

// tooLarge reports whether a message exceeds the server's max payload, which counts
// headers and body.
func (w *Worker) tooLarge(msg *nats.Msg) bool {
	return int64(msg.Size()-len(msg.Subject)-len(msg.Reply)) > w.conn.MaxPayload()
}
