package worker

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/bucket"
	"github.com/redoxworker/redoxworker/worker/internal/failpoint"
	"github.com/redoxworker/redoxworker/worker/internal/lease"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
	"github.com/redoxworker/redoxworker/worker/internal/limit"
	"github.com/redoxworker/redoxworker/worker/internal/replies"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// receive starts to renew the lease of a delivered message, so that it may wait for its turn, and
// decodes it. since is the earliest time at which it can have been delivered. It returns nil if
// the delivery is to be ignored.
func (w *Worker) receive(p *puller, msg *nats.Msg, since time.Time) *delivery {
	meta, err := msg.Metadata()
	if err != nil {
		w.log.Error("a message without JetStream metadata was delivered; it is ignored", "consumer", p.consumer)
		return nil
	}
	w.clock.AtLeast(meta.Timestamp)
	d := &delivery{puller: p, msg: newInbound(msg), delivered: meta.NumDelivered, consumed: meta.Sequence.Consumer,
		older: meta.Timestamp.UnixNano() < p.created.Load()}
	ctx, cancel := context.WithCancelCause(w.work)
	d.leased = leasedContext{answer: limit.Room{Memory: w.memory, Source: p.source}, Context: lease.Context{Context: ctx, Keeper: w.keeper, Lease: lease.Lease{
		Key: lease.Key{Sequence: meta.Sequence.Stream, Stored: meta.Timestamp.UnixNano()}, Reply: d.msg.reply, Consumer: p.consumer, Cancel: cancel}}}
	d.ctx, d.cancel, d.lease = &d.leased, cancel, &d.leased.Lease
	if !w.keeper.Hold(d.lease, since, p.replicated.Load()) {
		w.metrics.Ignored.Inc()
		d.cancel(nil)
		return nil
	}
	w.decode(d, meta.Sequence.Stream, meta.Timestamp)
	w.trace.pulled(d)
	return d
}

// decode decodes the message. A reply subject that is not allowed breaks the contract and is
// dropped.
func (w *Worker) decode(d *delivery, sequence uint64, stored time.Time) {
	d.message, d.contract = outbox.Decode(w.config.Prefix, outbox.Stored{
		Subject: d.msg.subject, Header: d.msg.header, Body: d.msg.body, Sequence: sequence, Time: stored,
	})
	w.unseal(d)
	if d.contract == nil && d.message.ReplyTo != "" {
		if d.contract = w.replies.Check(d.message.Source, d.message.ReplyTo); d.contract != nil {
			d.message.ReplyTo = ""
		}
	}
}

// deliver takes one admitted message through attempt and settlement. It returns when the message
// is settled, handed back or lost.
func (w *Worker) deliver(d *delivery) {
	defer func() {
		if !d.aside {
			w.slots.Release(d.puller.source, d.puller.class())
		}
	}()
	defer d.grant.end(false)
	defer d.permit.Drop()
	defer d.cancel(nil)
	defer w.dropAnswer(d)
	ended := false
	defer func() {
		if !ended { // the deliverer has ended the goroutine: the message comes again
			w.suspects.End(&d.turn)
			w.dropBody(d)
			w.keeper.Forget(d.lease)
		}
	}()
	d.began = time.Now()
	w.trace.begin(d, w.localTime(d.message.Stored))
	defer w.trace.end(d)
	failpoint.At("receive")
	if !w.prepare(d) {
		failpoint.At("send")
		w.attempt(d)
		failpoint.At("answer")
	}
	w.dropBody(d)
	if d.verdict.Action != verdict.Settled || d.message.ReplyTo == "" {
		w.dropAnswer(d)
	}
	// What was not sent has learnt nothing and made no request, however long its settlement takes.
	w.suspects.End(&d.turn)
	d.permit.Drop()
	d.grant.end(false)
	w.trace.next(d, "redox settle")
	w.settle(d)
	ended = true
}

// prepare decides about messages that must not be sent, and readies the rest. It returns false if
// the message is to be attempted.
func (w *Worker) prepare(d *delivery) (decided bool) {
	if !w.keeper.Holds(d.lease) {
		return d.decide(verdict.Verdict{Action: verdict.Abandon, Text: "lease lost before the attempt"})
	}
	if w.keeper.Stale(d.lease) {
		return d.decide(verdict.Verdict{Action: verdict.Abandon, Text: "NATS was restarted before the attempt"})
	}
	if w.shut(d) {
		return true
	}
	d.unsure = d.message.BodyObject != ""
	w.askHold(d)
	if left := w.contested(d); left > 0 {
		return d.decide(verdict.Verdict{Action: verdict.Leave, Delay: left, Text: "NATS was restarted, or the consumer deleted; another worker may still have the message"})
	}
	if err := w.recall(d); err != nil {
		return d.decide(w.postpone(d, err))
	}
	if left := w.elsewhere(d); left > 0 {
		return d.decide(verdict.Verdict{Action: verdict.Leave, Delay: left, Text: "another worker has just begun to send it"})
	}
	if w.unanswerable(d) || w.precheck(d) || w.inOrder(d) || w.turn(d) {
		return true
	}
	if (d.delivered > 1 || d.hold || d.record != (ledger.Record{})) && w.noteStart(d) {
		return true
	}
	return d.message.BodyObject != "" && w.prepareClaim(d)
}

// askHold asks whether an unknown outcome is settled held. A yes without the body stands.
func (w *Worker) askHold(d *delivery) {
	if s := d.puller.settings.Load(); s != nil && s.Hold != nil && d.contract == nil && d.closed == nil && !d.hold {
		d.hold = s.Hold(d.message)
	}
}

func (w *Worker) precheck(d *delivery) (decided bool) {
	v, decided := verdict.Precheck(&d.message, d.contract, &d.record, d.hold, w.clock.Now(), w.rules())
	return decided && d.decide(v) || !decided && w.unopened(d)
}

// noteStart notes in the ledger that the message is about to be sent. It returns true if it
// decided otherwise.
func (w *Worker) noteStart(d *delivery) (decided bool) {
	started := d.record
	started.Started++
	started.Begun = w.clock.Now()
	if d.alone = d.turn.Alone(); d.alone {
		started.Alone++
	}
	started.Intent = d.hold || d.unsure && d.record.Intent
	store := w.ledger.Store
	if d.ordered() { // it may have been woken while another worker has just begun to send it
		store = func(ctx context.Context, m outbox.Message, r ledger.Record) error {
			return w.ledger.Replace(ctx, m, r, d.revision)
		}
	}
	err := store(d.ctx, d.message, started)
	d.noted = err == nil || !bucket.Refused(err)
	if dlq.IsAlreadyStored(err) {
		return d.decide(verdict.Verdict{Action: verdict.Leave, Delay: time.Second + backoff.FullJitter(time.Second), Text: "another worker has just begun to send it"})
	}
	if err != nil {
		return d.decide(w.postpone(d, err))
	}
	w.troubles.ledger.Worked(itself)
	failpoint.At("intent")
	return false
}

// turn gives a suspect its turn. Without one it is decided that it comes again.
func (w *Worker) turn(d *delivery) (decided bool) {
	lost := d.record.Started
	if lost == 0 || w.config.Retry.PoisonAfter < 1 {
		return false
	}
	turn, wait, why := w.suspects.Take(lease.Key{Sequence: d.message.Sequence, Stored: d.message.Stored.UnixNano()}, lost, d.record.Alone)
	if why != "" {
		return d.decide(verdict.Verdict{Action: verdict.Leave, Delay: wait, Text: why})
	}
	d.turn = turn
	return false
}

// elsewhere returns how long to leave a message alone because another worker began to send it a
// moment ago. Such a message was not lost, which would show only after an ack wait: it was woken
// just when it came by itself. Which of the two deliveries is the later one does not matter:
// either may begin first.
func (w *Worker) elsewhere(d *delivery) time.Duration {
	if !d.ordered() || d.record.Started == 0 {
		return 0
	}
	// By their clocks, which are not quite the same, the other may begin a moment from now.
	if since := w.clock.Now().Sub(d.record.Begun); since > -lease.ClockSkew && since < w.config.AckWait/2 {
		return w.config.AckWait - max(0, since)
	}
	return 0
}

// contested returns how long another worker may still have the message, because the server forgot
// that it delivered it, or its consumer was deleted.
func (w *Worker) contested(d *delivery) time.Duration {
	if remade := time.Unix(0, d.puller.remade.Load()); d.older && (d.ordered() || d.hold || d.unsure) && time.Since(remade) < w.config.AckWait {
		return w.config.AckWait - time.Since(remade)
	}
	if d.puller.replicated.Load() || d.contract != nil || !d.ordered() && !d.hold && !d.unsure {
		return 0
	}
	return w.restarts.Contested(d.message.Stored)
}

// unanswerable postpones a message whose reply could not be stored now. It would be sent, or
// given up, and then wait for its settlement; many that wait like that would take all slots. A
// message whose reply is stored already lacks only its ack and goes on.
func (w *Worker) unanswerable(d *delivery) (decided bool) {
	if d.record.Settled != "" || !w.config.Prefix.IsReplySubject(d.message.ReplyTo) || !w.replyStore.Troubled(d.message.Source) {
		return false
	}
	err := w.replyStore.Shut(d.ctx, d.message.Source)
	if err == nil {
		return false
	}
	w.log.Debug("a message waits: its reply could not be stored", "message", d.message.ID, "source", d.message.Source, "error", err)
	return d.decide(verdict.Verdict{Action: verdict.Wait, Delay: max(w.config.Retry.Initial, replies.Wait), Jittered: true, Text: "its reply could not be stored"})
}

// prepareClaim fetches the body of a claim-checked message, then re-runs the checks whose result
// depends on the body or on the time.
func (w *Worker) prepareClaim(d *delivery) (decided bool) {
	if w.claim(d) {
		return true
	}
	first := d.first() && !d.hold
	d.unsure = false
	w.askHold(d)
	if d.hold && first {
		if err := w.recall(d); err != nil {
			return d.decide(w.postpone(d, err))
		}
	}
	// The wait for memory may have been long.
	return w.precheck(d) || d.hold && w.noteStart(d)
}
