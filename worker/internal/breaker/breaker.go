package breaker

import (
	"context"
	"time"
)

const (
	// patience is how long a probe keeps all others from probing. One that takes longer may hang
	// for a reason of its own: then a message of another source goes as well, or of another
	// destination where the source itself is paused.
	patience = 2 * time.Second
	// yielding is for how long a source whose probe of a wider scope failed leaves the next one to
	// others: one that is in trouble itself must not keep those waiting that are not.
	yielding = 500 * time.Millisecond
)

// New returns a breaker for sources and the scopes that each depends on, in which nothing is
// paused. A scope is paused after so many failures in a row; less than 1 means never. changed is
// called for every change, from many goroutines at once.
func New(sources map[string][]string, after int, changed func(Change)) *Breaker {
	b := &Breaker{
		changes: changed, after: after,
		scopes:   make(map[string]*pause),
		sources:  make(map[string]*source, len(sources)),
		users:    make(map[string]int),
		strikes:  make(map[string]*strikes),
		refusals: make(map[string]*refusals), throttles: make(map[string]*throttle),
		works:   make(map[string]time.Time),
		resumed: make(map[string]time.Time),
		held:    held{last: make(map[string]time.Time)},
		changed: make(chan struct{}),
	}
	b.SetSources(sources)
	return b
}

// State of a source.
type State int

// The states of a source.
const (
	Open    State = iota
	Probing       // a pause is over, and nobody has proven yet that things work again
	Paused        // pull nothing
)

// State returns the state of a source, how long its pause lasts (0: until something changes),
// and a channel that closes at the next change of any scope.
func (b *Breaker) State(source string) (State, time.Duration, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state, wait := Open, time.Duration(0)
	if s := b.sources[source]; s != nil {
		state, wait = b.stateOf(s.scopes, who{source: source}, time.Now())
	}
	return state, wait, b.changed
}

// stateOf is that of a message that depends on scopes.
func (b *Breaker) stateOf(scopes []string, m who, now time.Time) (state State, wait time.Duration) {
	if len(b.scopes) == 0 {
		return Open, 0
	}
	for _, scope := range scopes {
		p := b.scopes[scope]
		if p == nil || p.operator && p.over(now) {
			continue
		}
		switch left := b.left(scope, p, m, now); {
		case left > 0:
			state, wait = Paused, max(wait, left)
		case left < 0:
			state = Paused
		default:
			state = max(state, Probing)
		}
	}
	return state, wait
}

// ends is when the pause ends for a message: a source whose probe of a wider scope failed leaves
// the next one to others.
func (b *Breaker) ends(scope string, p *pause, m who) time.Time {
	if p.failures > 1 && !p.probing && p.prober.source == m.source && !Narrow(scope) && b.users[scope] > 1 {
		return p.until.Add(yielding)
	}
	return p.until
}

// left is how long a message has to wait before it may probe the paused scope: 0 when it may, less
// when only a change can end its waiting.
func (b *Breaker) left(scope string, p *pause, m who, now time.Time) time.Duration {
	if p.until.IsZero() {
		return -1
	}
	ends := b.ends(scope, p, m)
	switch {
	case now.Before(ends):
		return ends.Sub(now)
	case !p.probing:
		return b.heldElsewhere(p, now)
	case !p.rivals(scope, m):
		return -1
	}
	begin := p.probeSince
	if m.narrow == "" && p.vain.After(begin) { // what it is about to pull may be in vain again
		begin = p.vain
	}
	return max(0, begin.Add(patience).Sub(now), b.heldElsewhere(p, now))
}

// heldElsewhere is for how long another worker is the one to probe.
func (b *Breaker) heldElsewhere(p *pause, now time.Time) time.Duration {
	if b.alone || p.holder == "" || p.mine {
		return 0
	}
	return max(0, p.probeUntil.Sub(now))
}

// Wait blocks until the source may pull, fully or for a probe. It returns Paused only when ctx
// ended.
func (b *Breaker) Wait(ctx context.Context, source string) State {
	for {
		state, wait, changed := b.State(source)
		if state != Paused {
			return state
		}
		if wait == 0 {
			wait = time.Hour // a change ends it
		}
		if !await(ctx, changed, wait) {
			return Paused
		}
	}
}

// await waits for a change, for d at most; false when ctx ended.
func await(ctx context.Context, changed <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-ctx.Done():
		return false
	}
	return true
}

// Blocked returns how long a message of the source, with these scopes of its own, has to wait for
// the latter; 0 when they are open or may be probed. Whose destination an operator has paused comes
// again less often: see held.
func (b *Breaker) Blocked(source string, own []string) time.Duration {
	if len(own) == 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if left, is := b.byHand(own, now); is {
		return b.held.next(source, left, now)
	}
	state, wait := b.stateOf(own, who{source, narrowest(source, own)}, now)
	if state == Paused {
		return max(wait, time.Second)
	}
	return 0
}

// Admit lets one message of the source, with these scopes of its own, through, waiting while
// another is probing. It returns nil when the source is paused or ctx ended: hand the message
// back.
func (b *Breaker) Admit(ctx context.Context, source string, own ...string) *Permit {
	for {
		p, changed := b.TryAdmit(source, own...)
		if p != nil || changed == nil || !await(ctx, changed, patience) {
			return p
		}
	}
}

// TryAdmit is Admit without the waiting: where another message is probing it returns a channel
// that closes at the next change instead of a permit.
func (b *Breaker) TryAdmit(source string, own ...string) (*Permit, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	permit := &Permit{breaker: b, source: b.sources[source], own: own}
	if permit.source == nil {
		permit.source = newSource(source, nil)
	}
	if len(b.scopes) == 0 {
		return permit, nil
	}
	now, m := time.Now(), who{source, permit.narrow()}
	if _, is := b.byHand(own, now); is {
		return nil, nil
	}
	for _, scopes := range [...][]string{permit.source.scopes, own} {
		for _, scope := range scopes {
			p := b.scopes[scope]
			if p == nil || p.operator && p.over(now) {
				continue
			}
			if p.until.IsZero() || now.Before(b.ends(scope, p, m)) {
				return nil, nil
			}
			if b.left(scope, p, m, now) != 0 || !b.mayProbe(scope, p, now) {
				p.noteVain(m, now)
				return nil, b.changed
			}
			if permit.generations == nil {
				permit.generations = make(map[string]uint64)
			}
			permit.generations[scope] = p.generation
			permit.probes = append(permit.probes, scope)
		}
	}
	for _, scope := range permit.probes {
		p := b.scopes[scope]
		p.probing, p.probeSince, p.prober = true, now, m
	}
	return permit, nil
}

// mayProbe reports whether this worker is the one to probe the scope, and asks to be it.
func (b *Breaker) mayProbe(scope string, p *pause, now time.Time) bool {
	if !p.posted || b.alone || p.mine {
		return true
	}
	if !p.asked && b.heldElsewhere(p, now) == 0 {
		p.asked = true
		b.tell(update{kind: claiming, scope: scope, base: p.generation})
	}
	return false
}

// Probe ends what is left of a scope's pause, and of those of sources whose token of that key
// was refused: the next message goes as its probe. A scope that is not paused, or paused by an
// operator, stays as it is.
func (b *Breaker) Probe(scope string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for name, p := range b.scopes {
		if (name == scope || p.key != "" && p.key == scope) && !p.operator && p.until.After(now) {
			p.until = now
			b.wake()
		}
	}
}
