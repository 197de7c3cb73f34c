package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/redoxworker/redoxworker/outbox"
)

// This file is the only place where a message that was pulled is acknowledged, handed back,
// replied to or dead-lettered. There are two exceptions, both of messages that no worker has
// in hand: what was handed back until later is woken (heads.go, waiting.go), and the sweeper
// writes the dead letter of a message that somebody removed from the queue (sweeper.go).

// stepTimeout is what one step of a settlement has, at least, before all that are not
// confirmed are repeated.
const stepTimeout = 2 * time.Second

var errUnconfirmed = errors.New("NATS did not confirm within 2s")

// settle carries the verdict out.
func (w *Worker) settle(d *delivery) {
	switch d.verdict.action {
	case settled:
		w.conclude(d)
	case retry, wait:
		w.giveBack(d)
	case leave:
		if w.keeper.release(d.lease) {
			d.msg.handBack(d.verdict.delay)
			w.comesAgain(d.lane, d.verdict.delay)
		}
		w.report(d, EventWait)
	case abandon:
		w.keeper.forget(d.lease)
		w.log.Warn("lease lost: another worker may have the message; this one leaves it alone",
			"message", d.message.ID, "source", d.message.Source, "sequence", d.message.Sequence)
		w.report(d, EventAbandoned)
		w.alibi(d)
	}
}

// conclude takes a message through dead letter, reply and ack, repeating from the first
// unconfirmed step until all are confirmed. The lease is kept all the while. It gives up
// only when the worker is stopped: then the message comes again, its steps with it.
func (w *Worker) conclude(d *delivery) {
	defer w.keeper.forget(d.lease)
	done := d.verdict.done
	s := settlement{worker: w, delivery: d, dead: done, replied: done, audited: done}
	err, member := s.steps(), itself
	if err != nil {
		member = d.message.Source + " " + d.message.ID
		defer w.stepAside(d)()
		err = s.repeat(member, err)
	}
	if err == nil {
		w.troubles.settlements.Worked(member)
	} else {
		w.troubles.settlements.Gone(member)
	}
	if errors.Is(err, ErrLeaseLost) {
		w.log.Warn("settled, and left to another worker to acknowledge: the lease was lost meanwhile", "message", d.message.ID,
			"source", d.message.Source, "sequence", d.message.Sequence, "settlement", d.verdict.settlement)
		w.report(d, EventAbandoned)
		return
	}
	if err != nil {
		w.log.Error("stopped before the settlement of a message was confirmed; it will be delivered again",
			"message", d.message.ID, "source", d.message.Source, "settlement", d.verdict.settlement, "error", err)
		return
	}
	d.over = true
	w.report(d, EventSettled)
}

// stepAside gives up the slot of a message whose settlement cannot be confirmed at present:
// others go on meanwhile. Those that do so have slots of their own, as many, which are shared
// out in the same way: what one source cannot settle keeps nothing from another, and is bounded.
// The returned function is to be called when the settlement has ended.
func (w *Worker) stepAside(d *delivery) func() {
	source, class := d.lane.source, d.lane.class()
	if w.aside.TryAcquire(source, class, 1) == 0 {
		return func() {}
	}
	d.aside = true
	w.slots.Release(source, class)
	return func() { w.aside.Release(source, class) }
}

// settlement is the progress of one message through the steps of its settlement.
type settlement struct {
	worker   *Worker
	delivery *delivery
	dead     bool   // dead letter confirmed, or none needed
	replied  bool   // durable reply confirmed, or none needed
	audited  bool   // audit line written, or none wanted
	tried    bool   // the durable reply was published
	behind   uint64 // the position before the message in its order, where it is held
}

// repeat takes the steps again, with backoff, until they succeed or the worker is stopped.
// failed is how they failed the first time: the schedule is made only when that happens.
// member is what the log calls the message.
func (s *settlement) repeat(member string, failed error) error {
	w, d := s.worker, s.delivery
	again := func() (err error) {
		if err, failed = failed, nil; err != nil {
			return err
		}
		return s.steps()
	}
	policy := backoff.WithContext(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0)), w.settling)
	return backoff.RetryNotify(again, policy, func(err error, _ time.Duration) {
		w.metrics.settleErrors.Inc()
		w.troubles.settlements.Failed(member, s.unsettled(), err,
			"message", d.message.ID, "source", d.message.Source, "settlement", d.verdict.settlement)
	})
}

func (s *settlement) steps() error {
	if !s.dead {
		if err := s.bury(); err != nil {
			return err
		}
		s.dead = true
	}
	if !s.replied && s.delivery.message.ReplyTo != "" {
		durable, err := s.reply()
		if err != nil {
			return fmt.Errorf("publishing the reply: %w", err)
		}
		s.replied = durable
		failpoint("reply")
	}
	if audit := s.worker.config.Audit; !s.audited && audit != nil {
		if err := audit(s.ctx(), s.entry()); err != nil {
			return fmt.Errorf("writing the audit trail: %w", err)
		}
		s.audited = true
		failpoint("audit")
	}
	// The last trace of a replay: once acknowledged, the queue does not show it was published.
	if s.delivery.message.ReplayOf != "" {
		if err := outbox.NoteReplay(s.ctx(), s.worker.js, s.worker.config.Prefix, s.delivery.message, s.delivery.verdict.settlement); err != nil {
			return err
		}
	}
	if s.delivery.hold && s.delivery.noted {
		// Otherwise a death before the ack would leave the intent, and make a held message
		// of one whose caller was told that it was delivered.
		if err := s.leaveWord(); err != nil {
			return err
		}
	}
	if s.worker.outlived(s.delivery) {
		return nil // there is nothing to acknowledge
	}
	if err := s.yield(); err != nil {
		return err
	}
	failpoint("ack")
	// A core reply travels before the ack on the same connection, so the ack's
	// confirmation covers it: no flush of its own. If that does not come, both repeat.
	if err := s.delivery.msg.ack(s.ctx()); err != nil {
		if s.unheard(err) {
			return s.leave()
		}
		return fmt.Errorf("acknowledging: %w", err)
	}
	failpoint("acked")
	if d := s.delivery; d.noted || d.record != (record{}) {
		s.worker.ledger.retire(d.message, s.word())
	}
	s.removeObject()
	return nil
}

// ctx is that of the next step.
func (s *settlement) ctx() context.Context { return s.worker.patience.context() }

// bury writes the dead letter where one is due, and before it what waits behind it.
func (s *settlement) bury() error {
	due := s.delivery.needsDeadLetter()
	if err := s.keepOrder(due); err != nil {
		return fmt.Errorf("noting what waits behind the message: %w", err)
	}
	failpoint("order")
	if !due {
		return nil
	}
	if err := s.deadLetter(); err != nil {
		return fmt.Errorf("writing the dead letter: %w", onePrefix{err})
	}
	failpoint("dead-letter")
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

func (s *settlement) deadLetter() error {
	w, d := s.worker, s.delivery
	letter := outbox.DeadLetter{
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
func (s *settlement) write(letter outbox.DeadLetter) (taken bool, err error) {
	w := s.worker
	msg := letter.Encode(w.config.Prefix)
	if w.tooLarge(msg) { // its headers may leave no room for the body beside them
		// The time it was stored tells it from one of its name in a queue before this one, whose
		// body may be there.
		if err := w.putAside(msg, w.config.Prefix.DeadBodyName(letter.Source, s.delivery.message.ID+s.storedAt(), letter.Sequence)); err != nil {
			return false, err
		}
	}
	if _, err = w.js.PublishMsg(s.ctx(), msg); outbox.IsAlreadyStored(err) {
		return outbox.DeadBefore(s.ctx(), w.js, w.config.Prefix, msg.Subject, s.delivery.message.Stored.Add(-clocks))
	}
	return false, err
}

// reply publishes the reply. durable reports that a stream confirmed it.
func (s *settlement) reply() (durable bool, err error) {
	w, d := s.worker, s.delivery
	msg := s.replyMsg().Encode(d.message.ReplyTo)
	if w.tooLarge(msg) {
		if err := w.putAside(msg, w.config.Prefix.ReplyBodyName(d.message.Source, d.message.ID, d.message.Sequence)); err != nil {
			return false, err
		}
	}
	if w.config.Prefix.IsReplySubject(d.message.ReplyTo) {
		msg.Header.Set(outbox.HeaderID, d.message.ReplyID())
		err := w.depot.put(s.ctx(), msg, &s.tried)
		return err == nil, err
	}
	return false, w.conn.PublishMsg(msg)
}

func (s *settlement) replyMsg() outbox.Reply {
	d := s.delivery
	v := &d.verdict
	return outbox.Reply{
		MessageID: d.message.ID, ReplayOf: d.message.ReplayOf, Settlement: v.settlement, Status: v.answer.Status, Attempts: d.attempts(),
		LogIDs: v.answer.LogIDs, Error: v.err, ContentType: v.answer.ContentType, Body: v.answer.Body,
		TraceParent: d.message.TraceParent, TraceState: d.message.TraceState,
		PossibleDuplicate: d.possibleDuplicate(),
	}
}

// giveBack notes what is to be remembered and returns the message to the server, to be
// delivered again after the verdict's delay. Only while the lease holds: a late negative
// acknowledgement would take the message away from whoever has it now.
func (w *Worker) giveBack(d *delivery) {
	v := &d.verdict
	if v.jittered {
		v.delay = jitter(v.delay)
	}
	rec := d.ended(time.Now())
	// Else the record is another worker's by now, could not be read and must not be lost, or is of
	// a message that breaks the contract: nobody would look at it.
	if w.keeper.holds(d.lease) && !d.blind && d.contract == nil {
		w.noteEnd(d, rec)
		failpoint("note")
	}
	outlived := w.outlived(d)
	if w.keeper.release(d.lease) && !outlived {
		d.msg.handBack(v.delay)
		w.comesAgain(d.lane, v.delay)
	}
	kind := EventRetry
	if v.action == wait {
		kind = EventWait
	}
	w.report(d, kind)
}

// ended is what the ledger is to hold of a message that is given back.
func (d *delivery) ended(now time.Time) record {
	v, rec := &d.verdict, d.record
	rec.Age, rec.Since = rec.ageAt(d.began), time.Time{}
	rec.Ended, rec.Next = d.delivered, now.Add(v.delay)
	if d.asked { // else what is suspected stays suspected
		rec.Started, rec.Alone, rec.Intent = 0, 0, false
	}
	if v.action != retry {
		return rec
	}
	rec.Attempts++
	rec.Status, rec.Error = v.answer.Status, v.err
	rec.Unknown = rec.Unknown || v.unknown
	if v.excused {
		rec.Excused++
	} else {
		rec.Age, rec.Since = rec.Age+d.took, now
	}
	return rec
}

// noteEnd notes an attempt that has ended. Under hold it tries for as long as the lease
// holds: an intent that stays would have the message settled held, whatever is known of it.
func (w *Worker) noteEnd(d *delivery, rec record) {
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(w.settling, stepTimeout)
		err := w.ledger.store(ctx, d.message, rec)
		cancel()
		if err == nil {
			w.troubles.ledger.Worked(itself)
			return
		}
		w.troubles.ledger.Failed(itself, "an attempt could not be noted in the ledger", err, "message", d.message.ID, "source", d.message.Source)
		if !d.hold || !d.noted || !w.keeper.holds(d.lease) || w.settling.Err() != nil {
			return
		}
		sleep(w.settling, doubling(100*time.Millisecond, 5*time.Second, try))
	}
}

// refuse returns a message that was not admitted: the source was paused or the worker is
// stopping. Another worker may take it at once, or after a delay while what the message
// itself depends on is paused, and learns that it was not sent.
func (w *Worker) refuse(d *delivery, delay time.Duration) {
	defer d.cancel(nil)
	if w.conn.IsConnected() && d.contract == nil {
		ctx, cancel := context.WithTimeout(w.settling, stepTimeout)
		if err := w.noteUnsent(ctx, d, delay); err != nil {
			w.log.Debug("an unsent message could not be noted in the ledger", "message", d.message.ID, "source", d.message.Source, "error", err)
		}
		cancel()
	}
	if w.keeper.release(d.lease) {
		d.msg.handBack(delay)
		w.comesAgain(d.lane, delay)
	}
}

// comesAgain has a lane pull when a message comes that was handed back.
func (w *Worker) comesAgain(l *lane, delay time.Duration) {
	if delay <= w.config.Retry.Max { // what comes later is found in time without
		time.AfterFunc(delay+comesAfter, func() { w.open(l) })
	}
}

// comesAfter is how much later than asked for the server delivers a message again.
const comesAfter = 15 * time.Millisecond

// noteUnsent keeps the next delivery of a message from counting as a possible duplicate.
func (w *Worker) noteUnsent(ctx context.Context, d *delivery, delay time.Duration) error {
	next := time.Time{}
	if delay > 0 {
		next = w.clock.Now().Add(delay)
	}
	if d.delivered == 1 {
		return w.ledger.create(ctx, d.message, record{Ended: 1, Next: next})
	}
	rec, err := w.ledger.load(ctx, d.message)
	if err != nil || rec.Ended+1 != d.delivered {
		return err // what is suspected stays suspected
	}
	rec.Ended, rec.Next = d.delivered, next
	return w.ledger.store(ctx, d.message, rec)
}

// attempts counted so far, this delivery's included.
func (d *delivery) attempts() int {
	n := d.record.Attempts + d.verdict.lost
	if d.verdict.counted {
		n++
	}
	return n
}

// onePrefix is an error of the NATS client whose text has its prefix twice: "nats: nats: …".
type onePrefix struct{ error }

// Error has the prefix once.
func (e onePrefix) Error() string {
	return strings.ReplaceAll(e.error.Error(), "nats: nats: ", "nats: ")
}

func (e onePrefix) Unwrap() error { return e.error }
