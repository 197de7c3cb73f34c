package worker

import (
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/internal/ack"
	"github.com/redoxworker/redoxworker/worker/internal/failpoint"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// The files settle*.go are the only place where a message is acknowledged, handed back, woken,
// replied to or dead-lettered: settle.go has the order of the steps, reply and audit entry, the others have the other steps.

// settle carries out the verdict.
func (w *Worker) settle(d *delivery) {
	switch d.verdict.Action {
	case verdict.Settled:
		w.conclude(d)
	case verdict.Retry, verdict.Wait:
		w.giveBack(d)
	case verdict.Leave:
		if w.keeper.Release(d.lease) {
			ack.Back(w.conn, d.msg.reply, d.verdict.Delay)
			w.comesAgain(d.puller, d.verdict.Delay)
		}
		w.report(d, EventWait)
	case verdict.Abandon:
		w.keeper.Forget(d.lease)
		w.log.Warn("lease lost: another worker may have the message; this one leaves it alone",
			"message", d.message.ID, "source", d.message.Source, "sequence", d.message.Sequence)
		w.report(d, EventAbandoned)
		w.alibi(d)
	}
}

// conclude takes a message through dead letter, reply, audit entry and ack. It repeats from the
// first unconfirmed step until all are confirmed, and keeps the lease meanwhile. It gives up only
// when the worker is stopped: then the message is delivered again and its steps are repeated.
func (w *Worker) conclude(d *delivery) {
	defer w.keeper.Forget(d.lease)
	done := d.verdict.Done
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
			"source", d.message.Source, "sequence", d.message.Sequence, "settlement", d.verdict.Settlement)
		w.report(d, EventAbandoned)
		return
	}
	if err != nil {
		w.log.Error("stopped before the settlement of a message was confirmed; it will be delivered again",
			"message", d.message.ID, "source", d.message.Source, "settlement", d.verdict.Settlement, "error", err)
		return
	}
	d.over = true
	w.report(d, EventSettled)
}

// stepAside releases the slot of a message whose settlement cannot be confirmed at present, so
// that others go on. Such messages have slots of their own, just as many and shared in the same
// way: their number is bounded, and one source's take nothing from another. The returned function
// must be called when the settlement has ended.
func (w *Worker) stepAside(d *delivery) func() {
	source, class := d.puller.source, d.puller.class()
	if w.aside.TryAcquire(source, class, 1) == 0 {
		return func() {}
	}
	d.aside = true
	w.slots.Release(source, class)
	return func() { w.aside.Release(source, class) }
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
		failpoint.At("reply")
	}
	if keep := s.worker.config.Audit; !s.audited && keep != nil {
		if err := keep(s.ctx(), s.entry()); err != nil {
			return fmt.Errorf("writing the audit trail: %w", err)
		}
		s.audited = true
		failpoint.At("audit")
	}
	// Once acknowledged, the queue does not show that a replay was published, or a message moved. These
	// notes do.
	if s.delivery.message.ReplayOf != "" {
		if err := dlq.NoteReplay(s.ctx(), s.worker.js, s.worker.config.Prefix, s.delivery.message, s.delivery.verdict.Settlement); err != nil {
			return err
		}
	}
	if err := s.worker.ledger.NoteMoved(s.ctx(), s.delivery.message.Source, s.delivery.msg.header); err != nil {
		return err
	}
	if s.delivery.hold && s.delivery.noted {
		// If the worker died before the ack, the intent would remain, and the message be held
		// although its caller was told that it was delivered.
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
	failpoint.At("ack")
	// A core reply travels before the ack on the same connection. The confirmation of the ack
	// covers it, so it needs no flush; without a confirmation both are repeated.
	if err := ack.Done(s.ctx(), s.worker.conn, s.delivery.msg.reply); err != nil {
		if s.unheard(err) {
			return s.leave()
		}
		return fmt.Errorf("acknowledging: %w", err)
	}
	failpoint.At("acked")
	if d := s.delivery; d.noted || d.record != (ledger.Record{}) {
		s.worker.ledger.Retire(d.message, s.word())
	}
	s.removeObject()
	return nil
}

// reply publishes the reply. durable reports whether a stream confirmed it.
func (s *settlement) reply() (durable bool, err error) {
	w, d := s.worker, s.delivery
	msg := s.replyMsg().Encode(d.message.ReplyTo)
	if err := s.enclose(msg); err != nil {
		return false, err
	}
	if w.config.Prefix.IsReplySubject(d.message.ReplyTo) {
		msg.Header.Set(contract.HeaderID, d.message.ReplyID())
		err := w.replyStore.Put(s.ctx(), d.message.Source, msg, &s.tried)
		return err == nil, err
	}
	return false, w.conn.PublishMsg(msg)
}

func (s *settlement) replyMsg() outbox.Reply {
	d := s.delivery
	v := &d.verdict
	parent, state := s.worker.trace.context(d)
	return outbox.Reply{
		MessageID: d.message.ID, ReplayOf: d.message.ReplayOf, Settlement: v.Settlement, Status: v.Answer.Status, Attempts: d.attempts(),
		LogIDs: v.Answer.LogIDs, Error: v.Text, ContentType: v.Answer.ContentType, Header: v.Answer.Header, Body: v.Answer.Body,
		TraceParent: parent, TraceState: state,
		PossibleDuplicate: d.possibleDuplicate(),
	}
}

// entry is the audit entry of the settlement.
func (s *settlement) entry() audit.Entry {
	d, now := s.delivery, time.Now()
	v := &d.verdict
	return audit.Entry{
		Time: now.UTC(), Worker: s.worker.config.ID, Message: d.message.ID, Source: d.message.Source, Lane: d.message.Lane, Kind: d.message.Kind,
		Settlement: v.Settlement, Status: v.Answer.Status, Attempts: d.attempts(), Deliveries: d.delivered, LogIDs: v.Answer.LogIDs, Error: v.Text,
		PossibleDuplicate: d.possibleDuplicate(), DeadLetter: d.needsDeadLetter(), Answered: d.message.ReplyTo != "", ReplayOf: d.message.ReplayOf,
		Stored: d.message.Stored.UTC(), Sequence: d.message.Sequence, AttemptSeconds: d.took.Seconds(), AgeSeconds: now.Sub(d.message.Stored).Seconds(),
	}
}

// repeat repeats the steps, with backoff, until they succeed or the worker is stopped. failed is
// the first failure; the backoff is made only for that. member names the message in the log.
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
		w.metrics.SettleErrors.Inc()
		w.troubles.settlements.Failed(member, s.unsettled(), err,
			"message", d.message.ID, "source", d.message.Source, "settlement", d.verdict.Settlement)
	})
}

// unsettled names the step that is not confirmed, for the log.
func (s *settlement) unsettled() string {
	switch {
	case !s.dead:
		return "a dead letter could not be written; repeating"
	case !s.replied && s.delivery.message.ReplyTo != "":
		return "a reply could not be stored; repeating"
	case !s.audited && s.worker.config.Audit != nil:
		return "an audit entry could not be written; repeating"
	}
	return "a settlement was not confirmed; repeating"
}
