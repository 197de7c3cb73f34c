package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// action is what settle does with a delivery.
type action int

const (
	// settled: the message has its settlement.
	settled action = iota
	// retry: the attempt failed and counts; the message comes again after a delay.
	retry
	// wait: nothing was sent; the message comes again after a delay, nothing is counted.
	wait
	// leave: nothing was sent; another worker may have the message, and it comes again
	// after a delay.
	leave
	// abandon: the lease is lost; whoever has the message now decides.
	abandon
)

// verdict is what is to be done with a delivery and why.
type verdict struct {
	action     action
	settlement outbox.Settlement // of settled
	delay      time.Duration     // of retry and wait, before jitter where jittered says so
	jittered   bool
	err        string // safe text
	// refused: the far side refused the source, whatever its message.
	refused bool
	trouble bool // the far side is in trouble, whatever the status says
	// pauses is the scope to pause, for at least pauseFor.
	pauses   string
	pauseFor time.Duration
	unknown  bool // the outcome of the attempt is unknown
	counted  bool // it was an attempt: a request was written
	excused  bool // it says nothing of the message: no reason to give it up
	lost     int  // attempts that came to no end
	done     bool // dead letter, reply and audit entry are written: only the ack is missing
	answer   outbox.Answer
}

// outcome is all that judge looks at.
type outcome struct {
	message *outbox.Message
	record  ledger.Record // as it was before this attempt
	answer  outbox.Answer
	err     error // of the Deliverer
	cause   error // why the attempt's context ended, if it did
	hold    bool
	now     time.Time
	ahead   time.Duration // the NATS server's clock less this one's: deadlines are by the server's
	took    time.Duration // the attempt
	// excused: a pause was probed, or what the message depends on is paused by now. That is
	// not the message's fault, and it is not given up for it.
	excused bool
	// spared: what was refused is the source, again and again, and not the message: it counts as
	// tried, and the rules for giving up end it.
	spared bool
}

// judge turns the end of an attempt into a verdict. Pure: all it knows is in o and r.
func judge(o *outcome, r *Retry) verdict {
	if o.err == nil {
		return verdict{settlement: outbox.Delivered, answer: o.answer, err: o.answer.Flag, counted: true}
	}
	e := readError(o.err)
	if o.spared {
		e.permanent, e.unsent, e.pauses = false, false, ""
	}
	v := verdict{answer: o.answer, err: e.safe, refused: e.refused, trouble: e.trouble, pauses: e.pauses, pauseFor: min(e.retryAfter, r.Max), counted: e.attempted()}
	v.unknown = e.attempted() && o.message.Lane != outbox.LaneRequest && (e.unknown || (e.doubtful && o.hold))

	switch {
	case errors.Is(o.cause, ErrLeaseLost):
		v.action, v.unknown = abandon, e.attempted() && o.message.Lane != outbox.LaneRequest
	case v.unknown && o.hold:
		v.settlement = outbox.Held
	case errors.Is(o.cause, ErrDeadline):
		v.settlement = outbox.Expired
	case errors.Is(o.cause, ErrDrainTimeout):
		v.action, v.pauses, v.refused = wait, "", false
		if e.attempted() {
			v.action, v.excused = retry, true
		}
	case e.poison:
		v.settlement = outbox.Poison
	case e.held:
		v.settlement = outbox.Held
	case e.permanent:
		v.settlement = outbox.Rejected
	case !e.attempted():
		// A first, short step; the pause, if there is one, decides when, and may end early.
		v.action, v.delay, v.jittered = wait, r.Initial, false
		if v.pauses == "" {
			v.delay = max(v.delay, v.pauseFor)
		}
	default:
		again(&v, o, r, e)
	}
	return v
}

// again decides between another attempt and giving up.
func again(v *verdict, o *outcome, r *Retry, e reading) {
	attempts := o.record.Attempts + 1
	v.excused = o.excused
	if fair := attempts - o.record.Excused; !v.excused && r.MaxAttempts > 0 && fair >= r.MaxAttempts {
		v.settlement = outbox.Exhausted
		v.err = fmt.Sprintf("gave up after %s%s; the last: %s", countedAttempts(fair), besides(o.record.Excused), e.safe)
		return
	}
	v.action, v.delay, v.jittered = retry, r.Delay(attempts), true
	if after := min(e.retryAfter, r.Max); after > 0 {
		v.delay, v.jittered = max(after, v.delay), false
	}
	left, limited := o.left(r)
	if !limited || v.delay < left {
		return
	}
	// The next step would be too late: use what is left for a last attempt or two.
	if left >= r.Initial && e.retryAfter < left {
		v.delay, v.jittered = left/2, false
		return
	}
	v.action, v.delay, v.settlement = settled, 0, outbox.Expired
	v.err = fmt.Sprintf("no time left for another attempt after %d%s; the last: %s", attempts-o.record.Excused, besides(o.record.Excused), e.safe)
}

// besides is what is to be added to a number of attempts in words.
func besides(excused int) string {
	if excused == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d while its far side was paused", excused)
}

// left is how long the message may still be tried; not limited when for ever. Its age gives it
// up only where an attempt shows that the message is to blame; its deadline always.
func (o *outcome) left(r *Retry) (left time.Duration, limited bool) {
	if !o.excused && r.MaxAge > 0 {
		left, limited = r.MaxAge-o.record.AgeAt(o.now.Add(-o.took))-o.took, true
	}
	if at, ok := deadline(o.message, r); ok && (!limited || at.Sub(o.now.Add(o.ahead)) < left) {
		left, limited = at.Sub(o.now.Add(o.ahead)), true
	}
	return left, limited
}

// countedAttempts is a number of attempts in words.
func countedAttempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

// deadline is the instant, by the clock of the NATS server, after which a message is not sent any more: its own, or for a
// REQUEST without one the age at which no caller can still be waiting.
func deadline(m *outbox.Message, r *Retry) (time.Time, bool) {
	if !m.Deadline.IsZero() {
		return m.Deadline, true
	}
	if m.Lane == outbox.LaneRequest {
		return m.Stored.Add(r.RequestMaxAge), true
	}
	return time.Time{}, false
}

// precheck settles what must not be sent at all: a broken contract, a deadline passed,
// an intent left behind, a message that kills workers. ok is false when the message is
// to be attempted.
func precheck(m *outbox.Message, contract error, rec *ledger.Record, hold bool, now time.Time, r *Retry) (v verdict, ok bool) {
	if contract != nil {
		e := readError(contract)
		if e.safe == genericFailure {
			e.safe = contract.Error()
		}
		return verdict{settlement: outbox.Poison, err: e.safe}, true
	}
	if rec.Settled != "" {
		return verdict{settlement: rec.Settled, err: rec.Error, answer: outbox.Answer{Status: rec.Status}, done: true}, true
	}
	if rec.Intent && hold {
		return verdict{settlement: outbox.Held, unknown: true, lost: max(1, rec.Started),
			err: "a worker stopped between sending this message and learning the outcome; Redox may have it"}, true
	}
	if r.PoisonAfter > 0 && rec.Alone >= r.PoisonAfter {
		return poisonous(rec), true
	}
	if limit, has := deadline(m, r); has && !now.Before(limit) {
		text := "the deadline passed before the message could be sent"
		if rec.Error != "" {
			text += "; the last attempt: " + rec.Error
		}
		return verdict{settlement: outbox.Expired, err: text}, true
	}
	return verdict{}, false
}

// causeOf is why an attempt's context ended; nil when it did not.
func causeOf(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}
