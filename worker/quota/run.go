package quota

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Turns of a worker at the book.
const (
	turnTimeout  = 2 * time.Second
	clockEvery   = 15 // turns between two looks at the server's clock
	maxConflicts = 20
	leaveTimeout = time.Second
)

// Run shares the limit with all workers of the group, through the bucket of NATS, until
// ctx ends. It then gives back what is left. While NATS is away it tries on, and grants
// what is allotted to it. Call Run or RunAlone once; cancel ctx when no request is made any
// more.
func (g *Governor) Run(ctx context.Context, js jetstream.JetStream) {
	g.run(ctx, &bucketStore{js: js, bucket: g.cfg.Prefix.StateBucket(), key: Key(g.cfg.Group),
		queue: g.cfg.Prefix.OutStream(), within: g.cfg.Per + maxMargin})
}

// RunAlone keeps this process within the limit by itself, until ctx ends.
func (g *Governor) RunAlone(ctx context.Context) { g.run(ctx, &memoryStore{}) }

func (g *Governor) run(ctx context.Context, s store) {
	period := time.Duration(newLimits(g.cfg.Requests, g.cfg.Per, 0).turn)
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	failed, asked := false, false
	for n := 0; ; n++ {
		got, err := g.takeTurn(ctx, s, n%clockEvery == 0 || failed)
		if ctx.Err() != nil {
			break
		}
		if g.orphaned(err) {
			got = g.turnAlone(err)
		}
		g.noteFailure(err, &failed)
		// A turn that was asked for comes a little later than the last, and later still
		// when what was asked for could not be had.
		gap := period / 100
		if asked && got == 0 && g.wanted() || err != nil {
			gap = period / 2
		}
		if asked = g.pause(ctx, ticker.C, gap); ctx.Err() != nil {
			break
		}
	}
	g.leave(context.WithoutCancel(ctx), s)
}

// pause waits until the next turn is due or, at least for gap, until one is asked for. It
// reports which.
func (g *Governor) pause(ctx context.Context, tick <-chan time.Time, gap time.Duration) (asked bool) {
	timer := time.NewTimer(gap)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-tick:
		return false
	case <-timer.C:
	}
	select {
	case <-ctx.Done():
		return false
	case <-tick:
		return false
	case <-g.kick:
		return true
	}
}

// takeTurn reads the book, works the demand in and writes it back, again while others write
// in between. It answers how many grants that brought.
func (g *Governor) takeTurn(ctx context.Context, s store, measure bool) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, turnTimeout, errors.New("NATS did not answer within 2s"))
	defer cancel()
	if measure {
		asked := time.Now()
		server, err := s.time(ctx)
		if err != nil {
			return 0, err
		}
		g.mu.Lock()
		g.clock.measure(server, asked, time.Now(), g.cfg.Per)
		g.mu.Unlock()
	}
	for conflicts := 0; ; conflicts++ {
		got, err := g.tryTurn(ctx, s)
		if !errors.Is(err, errConflict) || conflicts >= maxConflicts {
			return got, err
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(time.Duration(mathrand.Int64N(int64(2*time.Millisecond) * int64(conflicts+1)))):
		}
	}
}

func (g *Governor) tryTurn(ctx context.Context, s store) (int, error) {
	data, revision, err := s.load(ctx)
	if err != nil {
		return 0, err
	}
	lost := false
	if data == nil && !g.hadTurn() {
		if lost, err = s.lost(ctx); err != nil {
			return 0, err
		}
	}
	b, err := g.openBook(data, lost)
	if err != nil {
		return 0, err
	}
	if data, err = g.work(b); err != nil {
		return 0, err
	}
	if err := s.save(ctx, data, revision); err != nil {
		return 0, g.refusedAt(revision, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.together()
	return g.confirm(), nil
}

// open reads a book, or starts one.
func (g *Governor) open(data []byte) (*book, error) { return g.openBook(data, false) }

// work demands in the book what the worker needs and gives back the rest.
func (g *Governor) work(b *book) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.putIn(b)
	return b.encode()
}

func (g *Governor) putIn(b *book) {
	select {
	case <-g.kick: // this is the turn that was asked for
	default:
	}
	now := g.clock.now()
	own := newLimits(g.requests(b), g.cfg.Per, g.cfg.Reserve)
	before := newLimits(b.Requests, time.Duration(b.Per), 0)
	b.expire(before, now)
	requests, per := b.strictest(own)
	b.adapt(before, now, requests, per)
	limits := newLimits(requests, time.Duration(per), g.cfg.Reserve)
	if by := limits.window - g.limits.window; by > 0 {
		g.tenure.lengthen(by)
		g.held.lengthen(by)
	}
	g.limits, g.waiters.interval = limits, time.Duration(limits.interval)
	for {
		if _, held := b.Allotments[g.tenure.id]; g.tenure.until == 0 || held {
			c := g.demand(b, now)
			granted, ok := b.turn(g.limits, now, c)
			if ok {
				g.tenure.pending = &pending{turn: c.turn, back: c.back, granted: granted, until: b.Allotments[c.id].Until, book: b}
				break
			}
		}
		g.log.Warn("quota: the allotment had ended; its grants are free again after one window", "group", g.cfg.Group)
		g.newTenure()
	}
	g.fleet.usage = b.usage(now)
	rush := b.allowance(g.limits, now, g.tenure.id, g.tenure.among.known)
	g.fleet.room, g.fleet.lendable = min(rush, b.room(g.limits, now)), min(rush, b.lendable(g.limits, now))
}

// lengthen has what was used, and not noted yet, free so much later: its window was shorter.
func (t *tenure) lengthen(by int64) {
	back := make(map[int64]int, len(t.back))
	for at, n := range t.back {
		back[at+by] += n
	}
	t.back = back
}

// demand is made up from what was used, what is held and who waits.
func (g *Governor) demand(b *book, now moment) demand {
	t, l := g.tenure, g.limits
	c := demand{id: t.id, turn: t.turn + 1, renews: t.until > 0, back: t.back, want: wantAll,
		requests: g.requests(b), per: int64(g.cfg.Per)}
	t.turn, t.back = c.turn, make(map[int64]int)
	c.waiting = g.waiters.count(classSend)
	if b.Requests > l.requests && g.lone.share == 0 { // the limit is lower now
		c.unused = g.held.shed(0, l, c.back)
	}
	if c.waiting == 0 && !t.low {
		// No more than a while like the last one needs, and a little at hand.
		sharing := len(b.Allotments)
		if _, held := b.Allotments[c.id]; !held {
			sharing++
		}
		idle := min(l.requests/(100*sharing), maxIdle)
		c.want = idle + g.waiters.count(classRequest) + 3*t.used
		c.unused += g.held.shed(c.want, l, c.back)
	}
	t.used, t.busy = 0, g.waiters.any(classSend)
	stock := 0
	if c.want == wantAll {
		stock = l.reserve / max(1, len(b.Allotments))
	}
	g.held.release(stock)
	c.kept = g.held.total() - g.held.stock()
	g.hurry(b, now, stock, &c)
	t.granted = 0
	return c
}

// hurry makes up what a demand wants out of the pace: for what goes first, with a little at
// hand for what is to come, and for other SENDs as many as the worker could use before its
// next turn. That is not known: it is taken to be some times what was used since the last one.
func (g *Governor) hurry(b *book, now moment, stock int, c *demand) {
	l, t := g.limits, g.tenure
	asked, fresh := g.waiters.urgent()
	if t.wants = false; asked+fresh == 0 && c.want != wantAll {
		return
	}
	c.rush = b.allowance(l, now, c.id, t.among.known)
	atHand := g.held.usable(now.lo, true)
	if c.want == wantAll {
		fresh += max(0, stock-g.held.stock())
		usable := g.held.usable(now.lo, false)
		c.eager = max(0, c.waiting+max(l.burst, 4*t.granted)-usable)
		atHand -= usable
	}
	c.urgent = max(0, asked-atHand)
	t.wants = c.urgent > 0 || c.eager > 0 || fresh > max(0, atHand-asked)
	c.urgent += min(max(0, fresh-max(0, atHand-asked)), b.lendable(l, now))
	c.urgent = min(c.urgent, c.rush)
	c.rush = max(0, c.rush-c.urgent-l.kept/4) // a burst leaves something to REQUESTs
}

// wanted reports whether the last turn wanted grants at once. One that was asked for while another
// brought them wants none.
func (g *Governor) wanted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tenure.wants
}

// resolve finds out whether the last turn was written, where that is not known.
func (g *Governor) resolve(b *book) {
	t := g.tenure
	if t.pending == nil {
		return
	}
	if b.Allotments[t.id].Turn == t.pending.turn {
		g.confirm()
		return
	}
	t.undo()
}

// undo takes a turn back that was not written.
func (t *tenure) undo() {
	if t.pending == nil {
		return
	}
	for at, n := range t.pending.back {
		t.back[at] += n
	}
	t.pending = nil
}

// confirm takes in what the last turn brought.
func (g *Governor) confirm() int {
	t := g.tenure
	p := t.pending
	t.pending = nil
	t.until, t.noted, g.fleet.known = p.until, p.turn, true
	if g.lone.book == nil {
		if p.book.Unknown != g.remade { // another book: not all may know of this worker
			t.among = acquaintance{}
		}
		t.among.wrote(p.book, t.id)
	}
	g.spare, g.remade = p.book, p.book.Unknown
	g.held = append(g.held, p.granted...)
	n := held(p.granted).total()
	t.low, t.ahead = false, n/2
	g.serve()
	return n
}

// leave gives everything back; what is under way stays allotted until the allotment ends.
func (g *Governor) leave(ctx context.Context, s store) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	g.mu.Lock()
	if g.timer != nil {
		g.timer.Stop()
	}
	g.mu.Unlock()
	err := errConflict
	for i := 0; errors.Is(err, errConflict) && i < maxConflicts; i++ {
		err = g.tryLeave(ctx, s)
	}
	if err != nil {
		g.log.Warn("quota: leaving without giving grants back; they are free after one window", "group", g.cfg.Group, "error", err)
	}
}

func (g *Governor) tryLeave(ctx context.Context, s store) error {
	if kv, ok := s.(*bucketStore); ok && kv.kv == nil {
		return nil // it never got to the book
	}
	data, revision, err := s.load(ctx)
	if err != nil || data == nil {
		return err
	}
	b, err := g.open(data)
	if err != nil {
		return err
	}
	g.mu.Lock()
	t := g.tenure
	b.giveBack(g.limits, g.held.shed(0, g.limits, t.back))
	own, ok := b.Allotments[t.id]
	for at, n := range t.back {
		b.add(g.limits.ceil(at), n)
		own.Grants -= n
	}
	if own.Grants == 0 {
		delete(b.Allotments, t.id)
	} else {
		b.Allotments[t.id] = own
	}
	g.mu.Unlock()
	if !ok || own.Grants < 0 {
		return nil // others have taken the worker for dead
	}
	if data, err = b.encode(); err != nil {
		return err
	}
	return s.save(ctx, data, revision)
}
