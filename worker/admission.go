package worker

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/worker/internal/breaker"
	"github.com/redoxworker/redoxworker/worker/internal/pull"
)

// A message is admitted in one order: pauses, limit, slot, pull. Nothing is pulled that could
// not be sent at once, so that no message waits in a worker that may not send while another may;
// but a busy puller pulls what it begins within the next moment: see [pull.Ahead].

// A pull asks for pullFirst messages where nothing is known, and for twice as many as came last
// where all did, up to pullMost: slots that were taken for what does not come are missing to
// others meanwhile.
const (
	pullFirst = 8
	pullMost  = 256
)

// admission is what a puller holds for the messages that it pulls.
type admission struct {
	worker *Worker
	puller *puller
	slots  int
	grants []func(sent bool) // one for each slot; empty without a limiter
	probes bool              // one message goes, to see whether a pause is over
}

// admit waits until at least one message of the puller may be sent, and takes what as many need
// as may be. nil means that the puller was given up, or paused meanwhile.
func (w *Worker) admit(p *puller) *admission {
	state, _, _ := w.breaker.State(p.source)
	if state == breaker.Paused {
		w.putBack(p)
		if state = w.breaker.Wait(p.ctx, p.source); state == breaker.Paused {
			return nil
		}
		w.decidedMeanwhile(p)
	}
	a, most := &admission{worker: w, puller: p}, max(p.batch, pullFirst)
	if state == breaker.Probing {
		a.probes, most = true, 1
	}
	if !a.begin(most) {
		a.release()
		return nil
	}
	for w.config.Limiter != nil && len(a.grants) < a.slots {
		done, err := w.config.Limiter.Acquire(ended, p.source, p.lane)
		if err != nil {
			break
		}
		a.grants = append(a.grants, done)
	}
	for w.config.Limiter != nil && a.slots > len(a.grants) {
		a.slots--
		w.slots.Release(p.source, p.class())
	}
	if state, _, _ := w.breaker.State(p.source); state == breaker.Paused || state == breaker.Probing && !a.probes {
		a.release() // while it waited
		return nil
	}
	return a
}

// begin waits for the first grant and the first slot. What is in hand waits for them no longer
// than a moment.
func (a *admission) begin(most int) bool {
	w, p := a.worker, a.puller
	if p.hand.Len() > 0 {
		if a.await(p.hand.Wait(p.ctx), most) || p.ctx.Err() != nil {
			return a.slots > 0
		}
		w.putBack(p)
	}
	return a.await(p.ctx, most)
}

func (a *admission) await(ctx context.Context, most int) bool {
	w, p := a.worker, a.puller
	if limiter := w.config.Limiter; limiter != nil && len(a.grants) == 0 {
		done, err := limiter.Acquire(ctx, p.source, p.lane)
		if err != nil {
			return false
		}
		a.grants = append(a.grants, done)
	}
	a.slots = w.slots.Acquire(ctx, p.source, p.class(), most)
	return a.slots > 0
}

// ended is a context for asking without waiting.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// release gives back what no message has taken.
func (a *admission) release() {
	for _, done := range a.grants {
		done(false)
	}
	for range a.slots {
		a.worker.slots.Release(a.puller.source, a.puller.class())
	}
	a.grants, a.slots = nil, 0
}

// take pulls as many messages as are admitted and begins to deliver them. again reports whether
// there may be more.
func (w *Worker) take(p *puller) (again bool, err error) {
	a := w.admit(p)
	if a == nil {
		w.putBack(p)
		return true, nil
	}
	var back errgroup.Group // what may not go
	back.SetLimit(backAtOnce)
	defer func() { _ = back.Wait() }()
	defer a.release()
	if p.hand.Len() == 0 {
		again, err = w.fetch(a)
	}
	for a.slots > 0 {
		d := p.hand.Take()
		if d == nil {
			break
		}
		again = true
		if delay, may := w.begin(a, d); !may {
			back.Go(func() error { w.refuse(d, delay); return nil })
		}
	}
	return again, err
}

// backAtOnce bounds the messages of a puller that are handed back at once: each takes a request or two, and
// thousands may wait for a destination that is paused.
const backAtOnce = 16

// fetch pulls messages for the slots of an admission, and some ahead. some reports whether any came.
func (w *Worker) fetch(a *admission) (some bool, err error) {
	p := a.puller
	w.restarts.Look() // what comes now comes from this server
	asked := time.Now()
	p.used = asked
	n := a.slots
	if !a.probes {
		n += p.hand.More(asked)
	}
	list, err := w.fetcher.Fetch(p.ctx, p.consumer, n, w.pullBytes())
	if err == nil || len(list) > 0 {
		w.troubles.pulls.Worked(p.consumer)
	}
	since, got := w.since(asked), make([]*delivery, 0, len(list))
	for _, msg := range list {
		if d := w.receive(p, msg, since); d != nil {
			got = append(got, d)
		}
	}
	w.lookUp(p, got)
	p.hand.Put(got, len(list) == n)
	if p.batch = min(2*len(list), pullMost); len(list) < n {
		p.batch = len(list)
	}
	return len(list) > 0, err
}

// since is the earliest moment at which a message that was asked for can have been
// delivered: it was not there yet when this process was last seen waiting for it.
func (w *Worker) since(asked time.Time) time.Time {
	if alive := w.keeper.Alive(); alive.After(asked) {
		return alive
	}
	return asked
}

// begin starts the delivery of a message that was pulled, under an admission. What the message
// itself depends on may be paused: then it may not go, and is to be handed back for a delay.
func (w *Worker) begin(a *admission, d *delivery) (delay time.Duration, may bool) {
	p := a.puller
	extra := w.ownScopes(d)
	if again := w.breaker.Blocked(p.source, extra); again > 0 {
		return again, false
	}
	if a.probes { // another may probe at this moment
		d.permit = w.breaker.Admit(p.ctx, p.source, extra...)
	} else {
		d.permit, _ = w.breaker.TryAdmit(p.source, extra...)
	}
	if d.permit == nil {
		return w.breaker.Blocked(p.source, extra), false
	}
	a.slots--
	if n := len(a.grants) - 1; n >= 0 {
		d.grant.done = a.grants[n]
		a.grants = a.grants[:n]
	}
	w.pool.Start(d)
	return 0, true
}

// late hands back a message that came after its pull was given up.
func (w *Worker) late(msg *nats.Msg) {
	p := w.pullerOf(pull.ConsumerOf(msg.Reply))
	if d := w.receive(p, msg, w.since(time.Now().Add(-stepTimeout))); d != nil {
		w.refuse(d, 0)
	}
}

// ownScopes are the pause scopes of a message that its source does not have.
func (w *Worker) ownScopes(d *delivery) []string {
	if s := d.puller.settings.Load(); s != nil && s.MessageScopes != nil && d.contract == nil && d.closed == nil {
		return s.MessageScopes(d.message)
	}
	return nil
}
