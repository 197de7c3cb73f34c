package breaker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Breaker is the circuit breaker of one worker: it holds the pauses that the worker knows of. A
// paused scope ("key:main", "host:…") closes every source that depends on it. When the pause
// ends, one message goes first as a probe; what the probe meets opens the scope or pauses it
// again for twice as long. Pauses of hosts and egress groups are the whole fleet's, and so is
// their probe: see [Sync]. It is safe for concurrent use.
type Breaker struct {
	changes func(Change)
	after   int          // failures in a row that pause a host; less than 1: never
	post    func(update) // tells the other workers; nil when there is nobody to tell

	mu      sync.Mutex
	scopes  map[string]*pause
	sources map[string][]string // source → scopes
	hosts   map[string]string   // source → the host that its messages usually go to
	strikes map[string]strikes  // of hosts
	struck  atomic.Int64        // number of hosts that have strikes
	resumed map[string]time.Time
	alone   bool          // the others cannot be reached
	changed chan struct{} // closed and replaced at each change
}

// Change is what a [Breaker] tells its owner: a scope was paused, paused again after a failed
// probe, or opened.
type Change struct {
	Scope string
	// Source of the message that paused the scope; "" if another worker or an operator did.
	Source string
	// Paused is true for a pause of length Delay, false when the scope is open again. A Delay
	// of 0 lasts until an operator ends it.
	Paused bool
	Delay  time.Duration
	// Probes counts the failed probes: 0 when the pause begins.
	Probes int
}

// pause is the state of one scope that is not simply open.
type pause struct {
	until      time.Time // zero: until it is opened by an operator
	failures   int
	probing    bool
	generation uint64 // distinguishes the pauses of a scope, so that a crowd failing at once counts once
	operator   bool   // paused by an operator: no probe at its end
	// of a scope that is shared:
	posted     bool      // the others know of it
	asked      bool      // this worker has asked to probe
	prober     string    // who probes
	mine       bool      // it is this worker
	probeUntil time.Time // until when the prober is believed to be alive
}

// over reports that the pause has ended.
func (p *pause) over(now time.Time) bool { return !p.until.IsZero() && !now.Before(p.until) }

// New returns a breaker for sources and the scopes that each depends on, in which nothing is
// paused. A host is paused after so many failures in a row; less than 1 means never. changed is
// called for every change, from many goroutines at once.
func New(sources map[string][]string, after int, changed func(Change)) *Breaker {
	b := &Breaker{
		changes: changed, after: after,
		scopes:  make(map[string]*pause),
		strikes: make(map[string]strikes),
		resumed: make(map[string]time.Time),
		changed: make(chan struct{}),
	}
	b.SetSources(sources)
	return b
}

// SetSources replaces the sources and the scopes that each depends on. Scopes that are paused
// stay so, also those that no source depends on any more.
func (b *Breaker) SetSources(sources map[string][]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sources = make(map[string][]string, len(sources))
	b.hosts = make(map[string]string, len(sources))
	for name, scopes := range sources {
		b.sources[name] = append(ownScopes(name), scopes...)
		b.hosts[name] = hostOf(scopes)
	}
	b.wake()
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
	state, wait := b.stateOf(b.sources[source], time.Now())
	return state, wait, b.changed
}

func (b *Breaker) stateOf(scopes []string, now time.Time) (state State, wait time.Duration) {
	if len(b.scopes) == 0 {
		return Open, 0
	}
	for _, scope := range scopes {
		p := b.scopes[scope]
		switch {
		case p == nil || p.operator && p.over(now):
		case !p.over(now):
			state = Paused
			if !p.until.IsZero() {
				wait = max(wait, p.until.Sub(now))
			}
		case p.probing:
			state = Paused
		case b.elsewhere(p, now):
			state, wait = Paused, max(wait, p.probeUntil.Sub(now))
		default:
			state = max(state, Probing)
		}
	}
	return state, wait
}

// elsewhere reports that another worker probes.
func (b *Breaker) elsewhere(p *pause, now time.Time) bool {
	return !b.alone && p.prober != "" && !p.mine && now.Before(p.probeUntil)
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
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
			timer.Stop()
			return Paused
		}
		timer.Stop()
	}
}

// Blocked returns how long a message with these scopes of its own has to wait for them; 0 when
// they are open or may be probed.
func (b *Breaker) Blocked(own []string) time.Duration {
	if len(own) == 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	state, wait := b.stateOf(own, time.Now())
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
		if p != nil || changed == nil {
			return p
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// TryAdmit is Admit without the waiting: where another message is probing it returns a channel
// that closes at the next change instead of a permit.
func (b *Breaker) TryAdmit(source string, own ...string) (*Permit, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	permit := &Permit{breaker: b, source: source, own: own}
	if len(b.scopes) == 0 {
		return permit, nil
	}
	now := time.Now()
	for _, scopes := range [...][]string{b.sources[source], own} {
		for _, scope := range scopes {
			p := b.scopes[scope]
			switch {
			case p == nil || p.operator && p.over(now):
				continue
			case !p.over(now):
				return nil, nil
			case p.probing, !b.mayProbe(scope, p, now):
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
		b.scopes[scope].probing = true
	}
	return permit, nil
}

// mayProbe reports whether this worker is the one to probe the scope, and asks to be it.
func (b *Breaker) mayProbe(scope string, p *pause, now time.Time) bool {
	if !p.posted || b.alone || p.mine {
		return true
	}
	if !p.asked && !b.elsewhere(p, now) {
		p.asked = true
		b.tell(update{kind: claiming, scope: scope, base: p.generation})
	}
	return false
}

// Probe ends what is left of a scope's pause: the next message goes as its probe. A scope that
// is not paused, or paused by an operator, stays as it is.
func (b *Breaker) Probe(scope string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p, now := b.scopes[scope], time.Now(); p != nil && !p.operator && p.until.After(now) {
		p.until = now
		b.wake()
	}
}

func (b *Breaker) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Paused lists the scopes that are not open and what is left of their pause; less than 0
// means that it lasts until somebody ends it.
func (b *Breaker) Paused() map[string]time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	var list map[string]time.Duration
	for scope, p := range b.scopes {
		if p.operator && p.over(now) {
			continue
		}
		if list == nil {
			list = make(map[string]time.Duration, len(b.scopes))
		}
		if p.until.IsZero() {
			list[scope] = -1
		} else {
			list[scope] = max(0, p.until.Sub(now))
		}
	}
	return list
}

// Hosts returns the state of every host: closed, open or probing, as a circuit breaker is.
func (b *Breaker) Hosts() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	list := make(map[string]string)
	for _, host := range b.hosts {
		if host != "" {
			list[host] = "closed"
		}
	}
	for scope, p := range b.scopes {
		switch {
		case !IsHost(scope):
		case p.over(now):
			list[scope] = "probing"
		default:
			list[scope] = "open"
		}
	}
	return list
}
