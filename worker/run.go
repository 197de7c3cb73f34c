package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/logsample"
	"github.com/redoxworker/redoxworker/outbox/servertime"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/breaker"
	"github.com/redoxworker/redoxworker/worker/internal/deadline"
	"github.com/redoxworker/redoxworker/worker/internal/guard"
	"github.com/redoxworker/redoxworker/worker/internal/heads"
	"github.com/redoxworker/redoxworker/worker/internal/lease"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
	"github.com/redoxworker/redoxworker/worker/internal/limit"
	"github.com/redoxworker/redoxworker/worker/internal/pull"
	"github.com/redoxworker/redoxworker/worker/internal/replies"
	"github.com/redoxworker/redoxworker/worker/internal/suspects"
)

// settleGrace is how long settlements may go on after the last attempts were cancelled.
const settleGrace = 5 * time.Second

// New returns a worker that pulls from js and delivers through d. It reports every problem of the
// config at once, and makes no request.
func New(js jetstream.JetStream, d Deliverer, c Config) (*Worker, error) {
	if guard.IsNil(js) || guard.IsNil(d) {
		return nil, errors.New("worker: New needs a JetStream context and a Deliverer")
	}
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	g := guard.NewPanics(c.Logger)
	c = c.guard(g)
	log, notes := logsample.Wrap(c.Logger), ledger.New(js, c.Prefix)
	w := &Worker{
		guards: g, sources: make(map[string]*served), look: make(chan struct{}, 1),
		heads: heads.Of(js, c.Prefix.OutStream()), notes: heads.Of(js, notes.Stream()),
		js: js, conn: js.Conn(), deliverer: d, config: c, log: log, troubles: newTroubles(log), trace: newTracing(c.Tracer, g),
		observed: c.Observe != nil, bodies: outbox.NewBodies(js, c.Prefix), memory: limit.NewMemory(c.MaxClaimMemory),
		replies: outbox.ReplyPolicy{Prefix: c.Prefix, Allow: c.ReplyAllow}, ledger: notes,
		tokens: dlq.NewHeldTokens(js, c.Prefix), clock: servertime.New(nil), replyStore: replies.New(js, c.Prefix.ReplyStream()),
		aside: limit.NewSlots(c.Concurrency),
	}
	if err := w.newMeter(c.Registerer); err != nil {
		return nil, err
	}
	for _, s := range c.Sources {
		w.sources[s.Name] = &served{Source: s}
	}
	return w, nil
}

// Run pulls, delivers and settles until ctx ends. It then stops pulling, hands back what it has in
// hand, lets attempts in flight finish within DrainTimeout, cancels and hands back the rest, and
// returns nil when every goroutine that it started has ended. It does not end because of a lost
// connection, a missing consumer or a far side that is down. Call it once.
func (w *Worker) Run(ctx context.Context) error {
	if w.started.Swap(true) {
		return errors.New("worker: Run was called twice")
	}
	ctx, cancel := withoutDeadline(ctx)
	defer cancel()
	defer logsample.Flush(w.log)
	work := context.WithoutCancel(ctx) // the keeper ends what is done under it
	settling, cancelSettling := context.WithCancel(work)
	w.pulling = ctx
	w.prepareRun(work, settling)
	w.pauses.First(ctx) // before anything is pulled: it may be paused
	if err := w.restarts.Recall(ctx, w.js, w.config.Prefix.StateBucket()); err != nil && ctx.Err() == nil {
		w.log.Warn("whether NATS was restarted just before is not known", "error", err)
	}
	w.remember(ctx)

	// Producers stop before consumers: pullers, then attempts, then settlements, and the
	// lease keeper last, because it serves all of them.
	var background sync.WaitGroup
	background.Go(func() { w.keep(settling) })
	background.Go(func() { w.clock.Watch(settling, w.js, "KV_"+w.config.Prefix.StateBucket()) })
	background.Go(func() { w.restarts.Watch(settling, w.js, w.config.Prefix.StateBucket()) })
	background.Go(func() { w.pauses.Run(settling) })
	defer background.Wait()
	defer cancelSettling()
	defer w.serve()()
	w.pulls.Go(func() { w.sweep(ctx) })
	w.pulls.Go(func() { w.survey(ctx) })
	<-ctx.Done()
	w.stop(cancelSettling)
	return nil
}

// serve begins to listen for messages of the sources that are to be served.
func (w *Worker) serve() (stop func()) {
	unlisten := w.subscribed(w.fetcher.Listen)
	w.mu.Lock()
	for name, s := range w.sources {
		s.keep(w.newPullers(name))
	}
	w.begun, w.running = true, true
	n := len(w.sources)
	w.mu.Unlock()
	if _, err := w.surveyed(w.pulling); err != nil { // before anything is heard of
		w.log.Warn("the queue cannot be looked at; trying again", "stream", w.config.Prefix.OutStream(), "error", err)
	}
	unhear, untell := w.subscribed(w.listen), w.subscribed(w.listenTurns)
	started := []any{"worker", w.config.ID, "sources", n, "concurrency", w.config.Concurrency}
	if w.config.Version != "" {
		started = append(started, "version", w.config.Version)
	}
	w.log.Info("worker started", started...)
	if n == 0 && !w.config.AllSources {
		w.log.Warn("no source is served: Config.Sources is empty and Config.AllSources is not set")
	}
	return func() { untell(); unhear(); unlisten() }
}

// subscribed subscribes, and tries again until it succeeds or stop is called.
func (w *Worker) subscribed(subscribe func() (stop func(), err error)) (stop func()) {
	unsubscribe, err := subscribe()
	if err == nil {
		return unsubscribe
	}
	w.log.Warn("the worker cannot subscribe; trying again", "error", err)
	unsubscribe = func() {}
	ctx, cancel := context.WithCancel(w.settling)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for err != nil && ctx.Err() == nil {
			backoff.Sleep(ctx, time.Second)
			var stop func()
			if stop, err = subscribe(); err == nil {
				unsubscribe = stop
			}
		}
	}()
	return func() {
		cancel()
		<-done
		unsubscribe()
	}
}

// stop waits for what is in flight, and cancels it after the drain timeout.
func (w *Worker) stop(cancelSettling func()) {
	w.mu.Lock()
	w.running = false
	w.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		w.handBackAll(w.lines.Close()) // which may be behind heads of other workers
		w.pulls.Wait()
		w.pool.Wait()
		w.alibis.Wait()
	}()
	w.log.Info("worker stopping", "worker", w.config.ID, "in_flight", w.slots.InUse(), "drain_timeout", max(0, w.config.DrainTimeout))
	if !waitFor(idle, w.config.DrainTimeout) {
		w.keeper.End(ErrDrainTimeout)
		if !waitFor(idle, settleGrace) {
			cancelSettling()
			<-idle
		}
	}
	w.log.Info("worker stopped", "worker", w.config.ID)
}

// withoutDeadline returns a context that ends with ctx and has no deadline. The client bounds a
// request itself only if its context has no deadline: a request that was swallowed by a starting
// server would otherwise wait until the end of Run.
func withoutDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	free, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unlink := context.AfterFunc(ctx, cancel)
	return free, func() { unlink(); cancel() }
}

func (w *Worker) prepareRun(work, settling context.Context) {
	w.work, w.settling = work, settling
	w.deadlines = deadline.New(settling, stepTimeout, errUnconfirmed)
	w.breaker = breaker.New(scopesOf(w.sources), w.config.BreakerAfter, w.observeScope)
	w.pauses = breaker.NewSync(breaker.NewStore(w.js, w.config.Prefix.StateBucket(), w.clock), w.config.ID, w.breaker, w.log)
	w.slots = limit.NewSlots(w.config.Concurrency)
	w.pool = limit.NewPool(w.config.Concurrency, w.run)
	w.suspects = suspects.New()
	w.restarts = lease.NewRestarts(w.conn, w.config.AckWait)
	w.keeper = lease.NewKeeper(w.conn, w.config.AckWait, w.restarts)
	w.fetcher = pull.New(w.js, w.config.Prefix.OutStream(), w.late)
	w.lines = heads.New[*delivery](4 * w.config.Concurrency)
	w.adaptive = limit.NewAdaptive(w.slots, nil)
}

// keep runs the lease keeper, and runs it again if it fails to subscribe.
func (w *Worker) keep(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.keeper.Run(ctx); err != nil {
			w.log.Warn("leases cannot be renewed; trying again", "error", err)
			backoff.Sleep(ctx, time.Second)
		}
	}
}

// Probe ends the pause of a scope ("key:main") early: the next message goes as its probe now, which
// opens the scope or pauses it again. Call it when what the scope waits for is known to work again.
// It does nothing for a scope that is not paused. It is safe for concurrent use, also before Run.
func (w *Worker) Probe(scope string) {
	w.mu.Lock()
	begun := w.begun
	w.mu.Unlock()
	if begun {
		w.breaker.Probe(scope)
	}
}

// waitFor reports whether done closed within d; a negative d does not wait.
func waitFor(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(max(0, d))
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
