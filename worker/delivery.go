package worker

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

// delivery is one message on its way through the worker.
type delivery struct {
	lane    *lane
	msg     jetstream.Msg
	pass    *pass
	leased  leasedContext
	lease   *lease          // the one in leased; nil when there is none
	ctx     context.Context // of the attempt; ends with a cause
	cancel  context.CancelCauseFunc
	message outbox.Message
	// contract is why the message breaks the wire contract; nil when it does not.
	contract  error
	delivered uint64 // deliveries by JetStream, this one included
	hold      bool   // an unknown outcome is settled held
	unsure    bool   // whether hold applies, the body has yet to tell
	record    record // what the ledger knew when the message arrived
	blind     bool   // the ledger could not be read
	noted     bool   // the ledger holds the start of this attempt
	attempted bool   // an attempt was made that counts
	marked    bool   // its order token waits for this very message
	began     time.Time
	took      time.Duration // of the attempt
	room      int64         // memory of a claim-checked body
	stream    *stream       // such a body, if it is not in memory
	grant     grant         // of the attempt's request
}

// receive starts to keep the lease of a delivered message, so that it may wait for its
// turn, and decodes it. since is the earliest time it can have been delivered. nil means
// that the delivery is to be ignored.
func (w *Worker) receive(l *lane, msg jetstream.Msg, since time.Time) *delivery {
	meta, err := msg.Metadata()
	if err != nil {
		w.log.Error("a message without JetStream metadata was delivered; it is ignored", "consumer", l.consumer)
		return nil
	}
	d := &delivery{lane: l, msg: msg, delivered: meta.NumDelivered}
	ctx, cancel := context.WithCancelCause(w.work)
	d.leased = leasedContext{Context: ctx, keeper: w.keeper, lease: lease{sequence: meta.Sequence.Stream, subject: msg.Reply(), cancel: cancel}}
	d.ctx, d.cancel, d.lease = &d.leased, cancel, &d.leased.lease
	if !w.keeper.hold(d.lease, since, l.replicated.Load()) {
		w.metrics.ignored.WithLabelValues("in flight").Inc()
		d.cancel(nil)
		return nil
	}
	w.decode(d, meta.Sequence.Stream, meta.Timestamp)
	return d
}

// decode reads the message. A reply subject that is not allowed breaks the contract, and
// is forgotten.
func (w *Worker) decode(d *delivery, sequence uint64, stored time.Time) {
	d.message, d.contract = outbox.Decode(w.config.Prefix, outbox.Stored{
		Subject: d.msg.Subject(), Header: d.msg.Headers(), Body: d.msg.Data(), Sequence: sequence, Time: stored,
	})
	if d.contract == nil && d.message.ReplyTo != "" {
		if d.contract = w.replies.Check(d.message.Source, d.message.ReplyTo); d.contract != nil {
			d.message.ReplyTo = ""
		}
	}
}

// deliver takes one admitted message through attempt and settlement. It returns when the
// message is settled, given back or lost.
func (w *Worker) deliver(d *delivery) {
	defer w.slots.release(d.lane.source)
	defer d.grant.end(false)
	defer d.pass.drop()
	defer d.cancel(nil)
	d.began = time.Now()
	failpoint("receive")
	v, decided := w.prepare(d)
	if !decided {
		failpoint("send")
		v = w.attempt(d)
		failpoint("answer")
	}
	w.dropBody(d)
	w.settle(d, v)
}

// prepare settles what must not be sent and readies the rest. decided is false when the
// message is to be attempted.
func (w *Worker) prepare(d *delivery) (v verdict, decided bool) {
	if !w.keeper.holds(d.lease) {
		return verdict{action: abandon, err: "lease lost before the attempt"}, true
	}
	d.unsure = d.message.BodyObject != ""
	w.askHold(d)
	if left := w.contested(d); left > 0 {
		return verdict{action: leave, delay: left, err: "NATS was restarted; another worker may still have the message"}, true
	}
	if err := w.recall(d); err != nil {
		return w.postpone(d, err), true
	}
	if v, decided = w.precheck(d); decided {
		return v, true
	}
	if v, decided = w.inOrder(d); decided {
		return v, true
	}
	if d.delivered > 1 || d.hold {
		if v, decided = w.noteStart(d); decided {
			return v, true
		}
	}
	if d.message.BodyObject != "" {
		return w.prepareClaim(d)
	}
	return verdict{}, false
}

// askHold asks whether an unknown outcome is settled held. What is so without a look at
// the body stays so with it.
func (w *Worker) askHold(d *delivery) {
	if hold := w.holds[d.message.Source]; hold != nil && d.contract == nil && !d.hold {
		d.hold = hold(d.message)
	}
}

func (w *Worker) precheck(d *delivery) (v verdict, decided bool) {
	return precheck(&d.message, d.contract, &d.record, d.hold, time.Now(), &w.config.Retry)
}

// noteStart notes in the ledger that the message is about to be sent.
func (w *Worker) noteStart(d *delivery) (v verdict, decided bool) {
	started := d.record
	started.Started++
	started.Intent = d.hold || d.unsure && d.record.Intent
	if err := w.ledger.store(d.ctx, d.message, started); err != nil {
		return w.postpone(d, err), true
	}
	d.noted = true
	failpoint("intent")
	return verdict{}, false
}

// recall reads what the ledger knows of a message that was delivered before. Under hold it
// always looks: a server that was killed can have forgotten that it delivered.
func (w *Worker) recall(d *delivery) error {
	if d.contract != nil || d.delivered <= 1 && !d.hold {
		return nil
	}
	rec, err := w.ledger.load(d.ctx, d.message)
	if d.blind = err != nil; d.blind {
		return err
	}
	d.record = rec
	if d.delivered <= 1 || rec.Ended+1 == d.delivered {
		return nil
	}
	// Somebody had it and did not come back.
	d.record.Unknown = d.message.Lane != outbox.LaneRequest
	if rec == (record{}) {
		d.record.Started = 1
	}
	return nil
}

// postpone gives a message back because NATS did not let the worker read or note what it
// must before sending.
func (w *Worker) postpone(d *delivery, err error) verdict {
	if errors.Is(causeOf(d.ctx), ErrLeaseLost) {
		return verdict{action: abandon, err: "lease lost"}
	}
	w.log.Warn("a message waits: its state could not be read from or written to NATS", "message", d.message.ID, "source", d.message.Source, "error", err)
	return verdict{action: wait, delay: w.config.Retry.Initial, err: "NATS did not answer"}
}
