package console

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/operate"
)

// tellEvery lies between two words of a job.
const tellEvery = time.Second

// errStopped ends a job that somebody wants to be stopped.
var errStopped = errors.New("stopped")

// runner does a job.
type runner struct {
	jobs *jobs
	kv   jetstream.KeyValue

	mu  sync.Mutex
	job job
}

// run does what is left, tells how far it is, and at its end what came of it.
func (r *runner) run(ctx context.Context) {
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	telling, quiet := context.WithCancel(context.WithoutCancel(ctx))
	var teller sync.WaitGroup
	teller.Go(func() { r.tell(telling, stop) })
	err := r.work(work)
	quiet()
	teller.Wait()
	r.end(ctx, work, err)
	r.jobs.console.view.done()
}

// end writes down what came of it.
func (r *runner) end(ctx, work context.Context, err error) {
	r.mu.Lock()
	j := &r.job
	j.Ended, j.State = time.Now().UTC(), done
	switch {
	case errors.Is(context.Cause(work), errStopped):
		j.State = stopped
	case ctx.Err() != nil:
		j.State, j.Ended = interrupted, time.Time{}
	case err != nil:
		j.State, j.Error = failed, r.jobs.console.problemOf(err).Text
	}
	r.mu.Unlock()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), jobTimeout)
	defer cancel()
	if err := r.write(last, nil); err != nil {
		r.jobs.console.log.Warn("what came of a replay could not be kept: it seems interrupted", "replay", j.ID, "error", err)
	}
}

// work does what is left.
func (r *runner) work(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.jobs.console.log.Error("a replay of the console panicked", "type", typeName(p), "at", panicPlace())
			err = errors.New("it failed within itself; the log says where")
		}
	}()
	c := r.jobs.console
	r.mu.Lock()
	j := r.job
	r.mu.Unlock()
	record, err := recorder(c.config, j.By, j.From)
	if err != nil {
		return err
	}
	desk, err := operate.New(c.config.JS, c.config.Prefix, c.letters, record)
	if err != nil {
		return err
	}
	s, err := c.letters.Select(ctx, j.Query)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.job.Total = r.job.Done() + s.Len()
	r.mu.Unlock()
	for h, err := range j.each(ctx, desk, s) {
		if err != nil {
			return err
		}
		r.note(h)
	}
	return nil
}

// each does it to one after the other.
func (j *job) each(ctx context.Context, desk *operate.Desk, s dlq.Selection) iter.Seq2[dlq.Handled, error] {
	if j.Action == string(access.Discard) {
		return desk.Discard(ctx, s, dlq.DiscardOptions{}, j.Reason)
	}
	o := operate.ReplayOptions{ReplayOptions: dlq.ReplayOptions{KeepDeadline: j.KeepDeadline}, Canary: j.Canary, Reason: j.Reason}
	if j.Rate > 0 {
		o.Pace = rate.NewLimiter(rate.Limit(j.Rate), 1).Wait
	}
	return desk.Replay(ctx, s, o)
}

// note counts what became of one.
func (r *runner) note(h dlq.Handled) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.job.Outcomes == nil {
		r.job.Outcomes = map[dlq.Outcome]int{}
	}
	r.job.Outcomes[h.Outcome]++
	if !h.Outcome.Removed() && len(r.job.Staying) < mostStaying {
		r.job.Staying = append(r.job.Staying, h)
	}
}

// tell writes down how far it is, until ctx ends.
func (r *runner) tell(ctx context.Context, stop context.CancelCauseFunc) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		once, cancel := context.WithTimeout(ctx, jobTimeout)
		_ = r.write(once, stop) // else the next time
		cancel()
	}
}

// write keeps the job as it is now. Where somebody has changed it meanwhile, that is a wish to stop.
func (r *runner) write(ctx context.Context, stop context.CancelCauseFunc) error {
	r.mu.Lock()
	now := r.job
	now.Outcomes = make(map[dlq.Outcome]int, len(r.job.Outcomes))
	for o, n := range r.job.Outcomes {
		now.Outcomes[o] = n
	}
	r.mu.Unlock()
	err := r.jobs.write(ctx, r.kv, &now)
	if errors.Is(err, jetstream.ErrKeyExists) {
		var other *job
		if other, err = r.jobs.get(ctx, r.kv, now.ID); err == nil {
			if other.Stop && stop != nil {
				stop(errStopped)
			}
			now.revision = other.revision
			err = r.jobs.write(ctx, r.kv, &now)
		}
	}
	r.mu.Lock()
	r.job.revision = now.revision
	r.mu.Unlock()
	return err
}
