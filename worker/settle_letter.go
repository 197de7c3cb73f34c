package worker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/internal/failpoint"
	"github.com/redoxworker/redoxworker/worker/internal/lease"
)

// bury updates the note of the message's order and then writes the dead letter, where one is due.
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

// needsDeadLetter reports whether the message gets a dead letter: every message that is not
// delivered does, except a REQUEST whose caller is told. Poison always does.
func (d *delivery) needsDeadLetter() bool {
	switch d.verdict.Settlement {
	case outbox.Delivered:
		return false
	case outbox.Poison:
		return true
	default:
		return d.message.Lane != contract.LaneRequest || d.message.ReplyTo == ""
	}
}

// keepOrder notes before the dead letter is written that later messages of the order wait behind
// it. It takes the note back if the message was delivered after all, at a second try after a
// crash or as a replay.
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

// deadLetter writes the dead letter. If its place is taken by an older message's, it writes it
// under a name of its own.
func (s *settlement) deadLetter() error {
	w, d := s.worker, s.delivery
	letter := dlq.Letter{
		Header: d.msg.header, Body: d.msg.body, MessageID: d.message.ID, Source: d.message.Source,
		Settlement: d.verdict.Settlement, Error: d.verdict.Text, Status: d.verdict.Answer.Status, Attempts: d.attempts(),
		At: time.Now(), Subject: d.msg.subject, Sequence: d.message.Sequence, Behind: s.behind, Worker: w.config.ID,
	}
	letter, err := s.encloseLetter(letter)
	if err != nil {
		return err
	}
	taken, err := s.write(letter)
	if taken && err == nil {
		// A queue that was made anew reuses sequences, and with them the names of messages
		// without an id.
		letter.MessageID += s.storedAt()
		_, err = s.write(letter)
	}
	return err
}

// encloseLetter seals the dead letter of a message that should have been sealed. One with its body in the object
// store, or with no room for it beside the seal, stays as it is: a repeat would seal that with another key.
func (s *settlement) encloseLetter(letter dlq.Letter) (dlq.Letter, error) {
	w := s.worker
	if !w.config.RequireSeal || s.delivery.sealed || len(letter.Header[contract.HeaderBodyObject]) > 0 {
		return letter, nil
	}
	sealed, err := letter.Seal(w.config.Ring, w.config.Prefix)
	if err != nil || w.tooLarge(sealed.Encode(w.config.Prefix), 0) {
		return letter, err
	}
	return sealed, nil
}

// storedAt is a suffix that tells a message from others of its id.
func (s *settlement) storedAt() string {
	return "@" + s.delivery.message.Stored.UTC().Format(time.RFC3339Nano)
}

// write stores a dead letter. taken reports that its place is taken by that of an older message.
func (s *settlement) write(letter dlq.Letter) (taken bool, err error) {
	w := s.worker
	msg := letter.Encode(w.config.Prefix)
	if w.tooLarge(msg, 0) { // its headers may leave no room for the body beside them
		// The time tells it from a message of the same name in an earlier queue, whose body may
		// be there.
		if err := w.putAside(msg, w.config.Prefix.DeadBodyName(letter.Source, s.delivery.message.ID+s.storedAt(), letter.Sequence), bytes.NewReader(msg.Data)); err != nil {
			return false, err
		}
	}
	if _, err = w.js.PublishMsg(s.ctx(), msg); dlq.IsAlreadyStored(err) {
		return dlq.StoredBefore(s.ctx(), w.js, w.config.Prefix, msg.Subject, s.delivery.message.Stored.Add(-lease.ClockSkew))
	}
	return false, err
}

// putAside moves the body of a dead letter or reply that is too large for a message to the object
// store, where it is as it is read from body.
func (w *Worker) putAside(msg *nats.Msg, name string, body io.Reader) error {
	if len(msg.Data) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(w.settling, objectTimeout)
	defer cancel()
	if _, err := w.bodies.PutFrom(ctx, name, body); err != nil {
		return err
	}
	msg.Data = nil
	msg.Header.Set(contract.HeaderBodyObject, name)
	return nil
}

// tooLarge reports whether a message exceeds the server's max payload, which counts
// headers and body, when it has so many bytes more.
func (w *Worker) tooLarge(msg *nats.Msg, more int64) bool {
	return int64(msg.Size()-len(msg.Subject)-len(msg.Reply))+more > w.conn.MaxPayload()
}
