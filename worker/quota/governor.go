package quota

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/logsample"
)

// Governor grants requests under the limit of its group. Make one with [New], have it
// turn at the book with [Governor.Run] or [Governor.RunAlone], and ask it with
// [Governor.Acquire] before each request. It is safe for concurrent use.
type Governor struct {
	cfg     Config
	log     *slog.Logger
	turns   *logsample.Trouble
	metrics *metrics
	kick    chan struct{} // a turn is wanted soon

	mu      sync.Mutex
	clock   *clock
	limits  limits // that hold for the group at present
	tenure  *tenure
	held    held
	waiters waiters
	timer   *time.Timer // serves the next waiter
	fleet   fleet
	lone    lone
	spare   *book // as this worker last wrote it
	remade  int64 // Unknown of the book in which this worker has its part
}

// tenure is a worker's time with one allotment. What was granted under an allotment that was lost
// is no longer this worker's to account for: others have.
type tenure struct {
	id     string
	done   [classes]func(sent bool)
	until  int64 // when the allotment ends, in the server's time
	flight int   // requests under way
	used   int   // requests that ended since the last turn
	busy   bool  // SENDs were waiting at the last turn
	// granted counts the grants since the last turn. When ahead more have come, half of what
	// that turn brought is used, and low is set: where more can be had at once, it is asked for.
	granted, ahead int
	low            bool
	wants          bool // the last turn wanted grants at once
	back           map[int64]int
	turn           uint64
	noted          uint64 // the last turn that was written
	among          acquaintance
	// pending is a turn of which it is not known whether it was written.
	pending *pending
}

type pending struct {
	turn    uint64
	back    map[int64]int
	granted []run
	until   int64
	book    *book // as it was written
}

// New returns a Governor. It reports every problem of the config at once.
func New(cfg Config) (*Governor, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	log := logsample.Wrap(cfg.Logger)
	g := &Governor{cfg: cfg, log: log, turns: logsample.NewTrouble(log, "quota: turns at the book again"), kick: make(chan struct{}, 1), clock: newClock(),
		limits: newLimits(cfg.Requests, cfg.Per, cfg.Reserve)}
	g.newTenure()
	var err error
	g.metrics, err = newMetrics(cfg.Registerer, g)
	return g, err
}

// Acquire waits until one more request may be made, for as long as ctx lasts, and returns
// how to end it: done must be called once, with whether the request was sent, when its
// answer is there or will not come any more. A grant that was not used serves the next.
//
// REQUESTs go before SENDs; within either, sources take turns, and one of which nothing
// waited before goes before those with a backlog. Without contention nothing is allocated and
// nobody is asked.
func (g *Governor) Acquire(ctx context.Context, source string, lane contract.Lane) (done func(sent bool), err error) {
	c := classSend
	if lane == contract.LaneRequest {
		c = classRequest
	}
	return g.acquire(ctx, source, c)
}

// Extra is Acquire for a request that belongs to one under way, such as a resend with a
// new token, or that others wait for, such as the request for a token. It goes first.
func (g *Governor) Extra(ctx context.Context) (done func(sent bool), err error) {
	return g.acquire(ctx, "", classToken)
}

// Failed says that a request of a source was in vain: its message will cost another one.
// While other sources wait, such requests of one source get no more than a fifth of what
// this worker is granted. It is safe for concurrent use.
func (g *Governor) Failed(source string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiters.budget.failed(source, max(leastUnderWay, g.tenure.flight))
}

// leastUnderWay is how many failures of one source may come in a row for how few are under
// way: those that have just ended.
const leastUnderWay = 64

func (g *Governor) acquire(ctx context.Context, source string, c class) (func(bool), error) {
	g.mu.Lock()
	if !g.waiters.any(c) {
		if i, ok := g.usable(c < classSend); ok {
			done := g.take(i, c)
			g.mu.Unlock()
			return done, nil
		}
	}
	if ctx.Err() != nil {
		g.mu.Unlock()
		return nil, context.Cause(ctx)
	}
	w := &waiter{class: c, source: source, ready: make(chan struct{})}
	g.waiters.push(w)
	g.serve()
	g.mu.Unlock()
	return g.await(ctx, w)
}

// await waits for a grant.
func (g *Governor) await(ctx context.Context, w *waiter) (func(bool), error) {
	began := time.Now()
	select {
	case <-w.ready:
	case <-ctx.Done():
		g.mu.Lock()
		left := g.waiters.leave(w)
		if !left { // granted just as ctx ended: hand it on
			defer w.done(false)
		}
		g.mu.Unlock()
		return nil, context.Cause(ctx)
	}
	g.metrics.waited[w.class].Observe(time.Since(began).Seconds())
	return w.done, nil
}

// usable finds a grant that may be used now.
func (g *Governor) usable(goesFirst bool) (i int, ok bool) {
	at, i := g.held.first(goesFirst)
	if i < 0 {
		return 0, false
	}
	now := g.clock.now()
	return i, at <= now.lo && now.hi < g.tenure.until
}

// take takes a grant into use, and answers how that ends.
func (g *Governor) take(i int, c class) (done func(sent bool)) {
	paced, now := g.held[i], g.clock.now().lo
	paced.step, paced.n, paced.free = 0, 1, min(paced.free, now)
	g.held.pop(i)
	g.waiters.budget.granted++
	g.tenure.flight++
	g.tenure.granted++
	if g.tenure.ahead--; g.tenure.ahead == 0 && g.fleet.room > 0 {
		g.tenure.low = true
		g.soon()
	}
	if paced.at <= now && !paced.stock {
		return g.tenure.done[c]
	}
	return g.tenure.ending(g, c, paced) // it keeps its place if it is not used
}

// soon asks for a turn.
func (g *Governor) soon() {
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

// serve grants what may be granted to whoever waits, and sees to the next.
func (g *Governor) serve() {
	for g.waiters.any(classSend) {
		w := g.serveNext()
		if w == nil {
			g.later()
			return
		}
		close(w.ready)
	}
}

// serveNext takes a grant and the waiter out that it is for.
func (g *Governor) serveNext() *waiter {
	i, ok := g.usable(false)
	if ok {
		w := g.waiters.pop()
		w.done = g.take(i, w.class)
		return w
	}
	if i, ok = g.usable(true); !ok {
		return nil
	}
	w := g.waiters.popFirst()
	if w != nil {
		w.done = g.take(i, w.class)
	}
	return w
}

// later has serve called when the next grant may be used, and asks for a turn where one
// could help: when something can be had at once for what waits, or when the last turn did not
// know of anybody who waits.
func (g *Governor) later() {
	at, i := g.held.first(false)
	asked, fresh := g.waiters.urgent()
	if asked+fresh > 0 {
		if sooner, j := g.held.first(true); j >= 0 && sooner > g.clock.now().lo && (i < 0 || sooner < at) {
			at, i = sooner, j
		}
	}
	if i < 0 && !g.tenure.busy || g.fleet.room > 0 || asked > 0 && g.fleet.usage.Left > 0 || fresh > 0 && g.fleet.lendable > 0 {
		g.soon()
	}
	if i < 0 {
		return
	}
	wait := time.Duration(at - g.clock.now().lo)
	if wait <= 0 {
		return // the allotment has ended; a turn renews it
	}
	wait += wait>>12 + time.Microsecond // the bounds of the time part while it passes
	if g.timer == nil {
		g.timer = time.AfterFunc(wait, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.serve()
		})
		return
	}
	g.timer.Reset(wait)
}

// ending is what ends a request that has the grant. Where that was not used it is held again,
// as it was.
func (t *tenure) ending(g *Governor, c class, grant run) func(sent bool) {
	return func(sent bool) {
		if sent {
			g.metrics.sent[c].Inc()
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.tenure != t {
			return
		}
		t.flight--
		if sent {
			t.used++
			t.back[g.limits.freeFrom(g.clock.now().hi)]++
			return
		}
		now := g.clock.now().lo
		if grant.n == 0 {
			grant = run{at: now, free: now}
		}
		grant.n = 1
		g.held.put(grant, now, g.limits.grain)
		g.serve()
	}
}

// lone is the state of a worker that has trouble with the book.
type lone struct {
	// book is this worker's own while there is none to share; nil as long as there is.
	book  *book
	share int // of the limit, while book is not nil
	// gone counts the turns in a row that found no bucket.
	gone int
	// refused is the revision of a book that the bucket does not let be replaced, since that
	// moment.
	refused uint64
	since   int64
	// damage says why the book is made anew, until that is done.
	damage string
	// trouble is what the last turn met; "" when nothing.
	trouble string
}

// newTenure starts without an allotment. Requests under way are left to whoever took it away.
func (g *Governor) newTenure() {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	t := &tenure{id: g.cfg.ID + "-" + hex.EncodeToString(random[:]), back: make(map[int64]int)}
	for c := range classes {
		t.done[c] = t.ending(g, c, run{})
	}
	g.tenure, g.held = t, nil
}
