// Package verdict decides what becomes of a message: [Precheck] before an attempt, [Judge] after it,
// by what the error of the attempt says of itself ([Read]). It decides from values alone: it makes
// no request, asks no clock and keeps nothing.
package verdict

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/lease"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// Causes of the end of an attempt's context, beside [lease.ErrLost]; package worker shows them to
// Deliverers.
var (
	// ErrDrainTimeout is returned when an attempt was still running at the end of the drain timeout.
	ErrDrainTimeout = errors.New("worker: the drain timeout ended before the attempt did")
	// ErrDeadline is returned when the deadline of a request passed during its attempt.
	ErrDeadline = errors.New("worker: the deadline of the request passed during the attempt")
)

// Rules say when to try again and when to give up. They are those of worker.Retry, field by field.
type Rules struct {
	Initial, Max, MaxAge, RequestMaxAge time.Duration
	MaxAttempts, PoisonAfter            int
}

// Delay is the upper bound of the wait after the given number of failed attempts.
func (r *Rules) Delay(attempts int) time.Duration {
	return backoff.Exponential(r.Initial, r.Max, attempts)
}

// Next is the wait after that many failed attempts of a message that may be tried for left more, if
// limited, and whose far side asked for a wait of after, 0 for none. ok is false when no time is
// left for another attempt.
func (r *Rules) Next(attempts int, after, left time.Duration, limited bool) (delay time.Duration, jittered, ok bool) {
	delay, jittered = r.Delay(attempts), true
	if asked := min(after, r.Max); asked > 0 {
		delay, jittered = max(asked, delay), false
	}
	switch {
	case !limited || delay < left:
		return delay, jittered, true
	case left >= r.Initial && after < left:
		return left / 2, false, true // of what is left: a last attempt or two
	}
	return 0, false, false
}

// Action is what settle does with a delivery.
type Action int

const (
	// Settled: the message has its settlement.
	Settled Action = iota
	// Retry: the attempt failed and counts; the message comes again after a delay.
	Retry
	// Wait: nothing was sent; the message comes again after a delay, nothing is counted.
	Wait
	// Leave: nothing was sent; another worker may have the message, and it comes again
	// after a delay.
	Leave
	// Abandon: the lease is lost; whoever has the message now decides.
	Abandon
)

// Verdict is what is to be done with a delivery and why.
type Verdict struct {
	Action     Action
	Settlement outbox.Settlement // of Settled
	Delay      time.Duration     // of Retry and Wait, before jitter where Jittered says so
	Jittered   bool
	Text       string // safe text
	// Refused: the far side refused the source, whatever its message.
	Refused bool
	Trouble bool // the far side is in trouble, whatever the status says
	// Pauses is the scope to pause, for at least PauseFor.
	Pauses   string
	PauseFor time.Duration
	Unknown  bool // the outcome of the attempt is unknown
	Counted  bool // it was an attempt: a request was written
	Excused  bool // it says nothing of the message: no reason to give it up
	Lost     int  // attempts that came to no end
	Done     bool // dead letter, reply and audit entry are written: only the ack is missing
	Answer   outbox.Answer
}

// Outcome is all that Judge looks at.
type Outcome struct {
	Message *outbox.Message
	Record  ledger.Record // as it was before this attempt
	Answer  outbox.Answer
	Err     error // of the Deliverer
	Cause   error // why the attempt's context ended, if it did
	Hold    bool
	Now     time.Time
	Ahead   time.Duration // the NATS server's clock less this one's: deadlines are by the server's
	Took    time.Duration // the attempt
	// Excused: a pause was probed, or what the message depends on is paused by now. That is
	// not the message's fault, and it is not given up for it.
	Excused bool
	// Spared: what was refused is the source, again and again, and not the message: it counts as
	// tried, and the rules for giving up end it.
	Spared bool
}

// Judge turns the end of an attempt into a verdict.
func Judge(o *Outcome, r *Rules) Verdict {
	if o.Err == nil {
		return Verdict{Settlement: outbox.Delivered, Answer: o.Answer, Text: o.Answer.Flag, Counted: true}
	}
	e := Read(o.Err)
	if o.Spared {
		e.Permanent, e.Unsent, e.Pauses = false, false, ""
	}
	v := Verdict{Answer: o.Answer, Text: e.SafeText, Refused: e.Refused, Trouble: e.Trouble, Pauses: e.Pauses, PauseFor: min(e.RetryAfter, r.Max), Counted: e.Attempted()}
	v.Unknown = e.Attempted() && o.Message.Lane != contract.LaneRequest && (e.Unknown || (e.Doubtful && o.Hold))

	switch {
	case errors.Is(o.Cause, lease.ErrLost):
		v.Action, v.Unknown = Abandon, e.Attempted() && o.Message.Lane != contract.LaneRequest
	case v.Unknown && o.Hold:
		v.Settlement = outbox.Held
	case errors.Is(o.Cause, ErrDeadline):
		v.Settlement = outbox.Expired
	case errors.Is(o.Cause, ErrDrainTimeout):
		v.Action, v.Pauses, v.Refused = Wait, "", false
		if e.Attempted() {
			v.Action, v.Excused = Retry, true
		}
	case e.Poison:
		v.Settlement = outbox.Poison
	case e.Held:
		v.Settlement = outbox.Held
	case e.Permanent:
		v.Settlement = outbox.Rejected
	case !e.Attempted():
		// A first, short step; the pause, if there is one, decides when, and may end early.
		v.Action, v.Delay, v.Jittered = Wait, r.Initial, false
		if v.Pauses == "" {
			v.Delay = max(v.Delay, v.PauseFor)
		}
	default:
		again(&v, o, r, e)
	}
	return v
}

// again decides between another attempt and giving up.
func again(v *Verdict, o *Outcome, r *Rules, e Reading) {
	attempts := o.Record.Attempts + 1
	v.Excused = o.Excused
	if fair := attempts - o.Record.Excused; !v.Excused && r.MaxAttempts > 0 && fair >= r.MaxAttempts {
		v.Settlement = outbox.Exhausted
		v.Text = fmt.Sprintf("gave up after %s%s; the last: %s", CountedAttempts(fair), besides(o.Record.Excused), e.SafeText)
		return
	}
	left, limited := o.left(r)
	var ok bool
	if v.Delay, v.Jittered, ok = r.Next(attempts, e.RetryAfter, left, limited); ok {
		v.Action = Retry
		return
	}
	v.Action, v.Delay, v.Settlement = Settled, 0, outbox.Expired
	v.Text = fmt.Sprintf("no time left for another attempt after %d%s; the last: %s", attempts-o.Record.Excused, besides(o.Record.Excused), e.SafeText)
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
func (o *Outcome) left(r *Rules) (left time.Duration, limited bool) {
	if !o.Excused && r.MaxAge > 0 {
		left, limited = r.MaxAge-o.Record.AgeAt(o.Now.Add(-o.Took))-o.Took, true
	}
	if at, ok := Deadline(o.Message, r); ok && (!limited || at.Sub(o.Now.Add(o.Ahead)) < left) {
		left, limited = at.Sub(o.Now.Add(o.Ahead)), true
	}
	return left, limited
}

// CountedAttempts is a number of attempts in words.
func CountedAttempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

// Failed reports whether the attempt was counted and the far side seems to be in trouble.
func (v *Verdict) Failed(err, cause error) bool {
	return err != nil && v.Counted && v.Settlement != outbox.Rejected && v.Settlement != outbox.Poison && (v.Trouble || inTrouble(v.Answer.Status, cause))
}

// inTrouble reports whether the far side as a whole seems to be in trouble: it said so, or
// said nothing at all, and not because the attempt was ended from here.
func inTrouble(status int, cause error) bool {
	return status >= 500 || status == http.StatusRequestTimeout ||
		status == 0 && (cause == nil || errors.Is(cause, lease.ErrAttemptTimeout))
}

// Deadline is the instant, by the clock of the NATS server, after which a message is not sent any more: its own, or for a
// REQUEST without one the age at which no caller can still be waiting.
func Deadline(m *outbox.Message, r *Rules) (time.Time, bool) {
	if !m.Deadline.IsZero() {
		return m.Deadline, true
	}
	if m.Lane == contract.LaneRequest {
		return m.Stored.Add(r.RequestMaxAge), true
	}
	return time.Time{}, false
}

// Precheck settles what must not be sent at all: a broken contract, a deadline passed,
// an intent left behind, a message that kills workers. decided is false when the message is
// to be attempted.
func Precheck(m *outbox.Message, contract error, rec *ledger.Record, hold bool, now time.Time, r *Rules) (v Verdict, decided bool) {
	if contract != nil {
		e := Read(contract)
		if e.SafeText == GenericText {
			e.SafeText = contract.Error()
		}
		return Verdict{Settlement: outbox.Poison, Text: e.SafeText}, true
	}
	if rec.Settled != "" {
		return Verdict{Settlement: rec.Settled, Text: rec.Error, Answer: outbox.Answer{Status: rec.Status}, Done: true}, true
	}
	if rec.Intent && hold {
		return Verdict{Settlement: outbox.Held, Unknown: true, Lost: max(1, rec.Started),
			Text: "a worker stopped between sending this message and learning the outcome; Redox may have it"}, true
	}
	if r.PoisonAfter > 0 && rec.Alone >= r.PoisonAfter {
		return poisonous(rec), true
	}
	if limit, has := Deadline(m, r); has && !now.Before(limit) {
		text := "the deadline passed before the message could be sent"
		if rec.Error != "" {
			text += "; the last attempt: " + rec.Error
		}
		return Verdict{Settlement: outbox.Expired, Text: text}, true
	}
	return Verdict{}, false
}

// poisonous is the verdict about a message that was lost alone so often.
func poisonous(rec *ledger.Record) Verdict {
	return Verdict{Settlement: outbox.Poison, Lost: rec.Started, Text: fmt.Sprintf(
		"sent alone %d times in a row, and each time its worker was gone before the attempt ended: it may be killing its workers; it may have been sent %d times",
		rec.Alone, rec.Started+rec.Attempts)}
}
