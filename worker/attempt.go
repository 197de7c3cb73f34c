package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/breaker"
	"github.com/redoxworker/redoxworker/worker/internal/limit"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// attempt calls the Deliverer once and judges what came of it.
func (w *Worker) attempt(d *delivery) {
	ctx, cancel := w.attemptContext(d)
	defer cancel()
	if w.observed || d.mayRepeat() {
		w.announce(d)
	}
	ctx, span := w.trace.attempt(ctx, d)
	start := time.Now()
	d.asked = true
	err := w.guarded(ctx, d)
	d.took = time.Since(start)
	w.attempted(ctx, d, start.Add(d.took), err)
	w.trace.attempted(span, &d.verdict)
}

// attempted judges an attempt that ended at an instant, and tells all who want to know.
func (w *Worker) attempted(ctx context.Context, d *delivery, at time.Time, err error) {
	cause := w.causeOf(ctx, d)
	o := verdict.Outcome{
		Message: &d.message, Record: d.record, Answer: d.verdict.Answer, Err: err,
		Cause: cause, Hold: d.hold, Took: d.took, Now: at, Ahead: time.Until(w.clock.Now()),
	}
	d.verdict = verdict.Judge(&o, w.rules())
	v := &d.verdict
	if failed := d.stream.failure(); failed != nil && err != nil && v.Action != verdict.Abandon {
		*v = w.unclaimed(d, failed) // the far side got no whole request
	}
	end := endPermit(d, err, cause)
	if end.excused && v.Counted || end.spared {
		o.Excused, o.Spared = end.excused, end.spared
		*v = verdict.Judge(&o, w.rules())
	}
	v.Delay = max(v.Delay, end.delay)
	w.endGrant(d)
	w.countAttempt(d)
	w.adapt(d, err, cause)
	if err != nil {
		w.log.LogAttrs(ctx, slog.LevelDebug, "attempt failed", append(d.line(), slog.Duration("duration", d.took))...)
	}
}

// permitEnd is what the end of an attempt meant to the breaker.
type permitEnd struct {
	delay   time.Duration // the message is to wait for at least
	excused bool          // it probed a pause, or met one, or was told that there were too many requests
	spared  bool          // its source was refused, not the message
}

// endPermit tells the breaker how an attempt ended.
func endPermit(d *delivery, err, cause error) (end permitEnd) {
	v, p := &d.verdict, d.permit
	end.excused = err != nil && (p.Probes() && !v.Refused || v.Answer.Status == http.StatusTooManyRequests)
	p.Hear(breaker.Attempt{Silent: err != nil && v.Answer.Status == 0, Hosts: v.Answer.Hosts, Message: d.message.Sequence, Reason: v.Text})
	switch {
	case v.Refused && !v.Counted:
		var whose breaker.Verdict
		end.delay, whose = p.RefuseToken()
		end.spared = whose == breaker.Proven
	case v.Refused && v.Settlement == outbox.Rejected:
		end.delay, end.spared = p.Refuse()
	case v.Pauses != "":
		end.delay, end.excused = p.Fail(v.Pauses, v.PauseFor), true
	case v.Failed(err, cause):
		end.delay, end.excused = p.Strike(v.Answer.Status == http.StatusInternalServerError)
	case v.Action != verdict.Abandon && v.Counted:
		p.Clear()
	}
	return end
}

// announce tells the observer of an attempt that begins, and the log of one that may be
// the second.
func (w *Worker) announce(d *delivery) {
	if w.observed {
		w.observe(d.event(EventAttempt))
	}
	if d.mayRepeat() {
		d.puller.counts.Repeated()
		w.log.Warn("sending a message again that the far side may have: a possible duplicate", "message", d.message.ID, "source", d.message.Source,
			"sequence", d.message.Sequence, "attempts", d.record.Attempts, "delivery", d.delivered)
	}
}

// adapt tells the limits on requests in flight what came of an attempt. How long it took says
// something about Redox itself only for SENDs: queries take as long as the destination, and
// files as long as they are.
func (w *Worker) adapt(d *delivery, err, cause error) {
	v := &d.verdict
	if !v.Counted || v.Action == verdict.Abandon {
		return
	}
	own := d.permit.Own()
	a := limit.Answer{Source: d.puller.source, Class: d.puller.class(), At: d.began.Add(d.took), Behind: slices.ContainsFunc(own, breaker.Narrow)}
	switch status := v.Answer.Status; {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		a.Load = limit.Refused
	case v.Failed(err, cause): // which may be the message's own fault
		a.Load = limit.Failed
	}
	if d.puller.lane != contract.LaneRequest && !slices.ContainsFunc(own, breaker.IsHost) {
		a.Took = d.took
	}
	w.adaptive.Observe(a)
}

// causeOf is why an attempt was ended from here; nil when it was not.
func (w *Worker) causeOf(ctx context.Context, d *delivery) error {
	cause := causeOf(ctx)
	if cause == nil || !errors.As(cause, new(endedByDeliverer)) {
		return cause
	}
	if !w.keeper.Holds(d.lease) {
		return ErrLeaseLost
	}
	return nil
}

// attemptContext bounds an attempt by the backstop and, for a request, by the instant
// after which nobody waits for the answer.
func (w *Worker) attemptContext(d *delivery) (context.Context, context.CancelFunc) {
	now := time.Now()
	end := now.Add(w.config.AttemptTimeout)
	ctx := d.ctx
	if d.grant.done != nil {
		d.grant.leasedContext, ctx = &d.leased, &d.grant
	}
	if d.message.Lane == contract.LaneRequest {
		if at, ok := verdict.Deadline(&d.message, w.rules()); ok {
			if at = w.localTime(at); at.Before(end) {
				w.keeper.Begin(d.lease, now, time.Time{})
				return context.WithDeadlineCause(ctx, at, ErrDeadline)
			}
		}
	}
	// The keeper looks at every lease anyway: no timer of its own for what never happens.
	w.keeper.Begin(d.lease, now, end)
	return ctx, func() {}
}

// ServerTime returns the time by the clock of the NATS server, which deadlines are compared with.
// Before Run has asked the server for it, it is the time of this host.
func (w *Worker) ServerTime() time.Time { return w.clock.Now() }

// localTime is an instant of the NATS server's clock by this host's.
func (w *Worker) localTime(server time.Time) time.Time {
	return time.Now().Add(server.Sub(w.clock.Now()))
}

// guarded is the one place where a panic is recovered. The request may have been written by
// then: the outcome is unknown. A runtime.Goexit cannot be recovered: it is logged, and the
// message comes again after the ack wait.
func (w *Worker) guarded(ctx context.Context, d *delivery) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		// The panic value may hold anything of the message; only its type is kept.
		p := recover()
		w.log.Error("the deliverer panicked; the far side may have the message",
			"message", d.message.ID, "source", d.message.Source, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		d.verdict.Answer, err = outbox.Answer{}, UnknownOutcome(WithSafeText(errPanic, "internal error while delivering"))
	}()
	m := d.message
	if !m.Deadline.IsZero() {
		m.Deadline = w.localTime(m.Deadline)
	}
	d.verdict.Answer, err = w.deliverer.Deliver(ctx, m)
	returned = true
	return err
}

var errPanic = errors.New("worker: the deliverer panicked")

// rules are those of the config for verdicts.
func (w *Worker) rules() *verdict.Rules { return (*verdict.Rules)(&w.config.Retry) }

// endGrant gives back the grant of an attempt that was judged.
func (w *Worker) endGrant(d *delivery) {
	if w.config.Limiter != nil && d.grant.done != nil && d.verdict.Counted && d.verdict.Action == verdict.Retry {
		w.config.Limiter.Failed(d.message.Source)
	}
	d.grant.end(d.verdict.Counted)
}
