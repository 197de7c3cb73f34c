package worker

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// gates holds the pauses that this worker knows of. A scope ("key:main", "host:…") that is
// paused closes every source that depends on it; when the pause ends, one message goes
// first as a probe. What the probe meets opens the scope or pauses it again for twice as
// long. Pauses of hosts and egress groups are the whole fleet's, and so is their probe: see
// board.go. The pause of a host is what is called an open circuit breaker.
type gates struct {
	observe func(Event)
	post    func(change) // tells the other workers; nil when there is nobody to tell

	mu      sync.Mutex
	scopes  map[string]*gate
	sources map[string][]string // source → scopes
	hosts   map[string]string   // source → the host that its messages usually go to
	strikes map[string]strikes  // of hosts
	struck  atomic.Int64        // how many hosts have strikes
	// breakAfter so many strikes a host is paused; less than 1: never
	breakAfter int
	resumed    map[string]time.Time
	alone      bool          // the others cannot be reached
	changed    chan struct{} // closed and replaced at each change
}

// gate is the state of one scope that is not simply open.
type gate struct {
	until    time.Time // zero: until it is opened by an operator
	failures int
	probing  bool
	round    uint64 // distinguishes the pauses of a scope, so that a crowd failing at once counts once
	operator bool   // paused by an operator: no probe at its end
	// of a scope that is shared:
	posted     bool      // the others know of it
	asked      bool      // this worker has asked to probe
	prober     string    // who probes
	mine       bool      // it is this worker
	probeUntil time.Time // until when the prober is believed to be alive
}

// over reports that the pause has ended.
func (g *gate) over(now time.Time) bool { return !g.until.IsZero() && !now.Before(g.until) }

// pass admits one message through all scopes of a source, and those of its own. Call at most
// one of clear, fail and strike, then always drop, which hands on the probes that the attempt
// did not prove.
type pass struct {
	gates  *gates
	source string
	extra  []string          // scopes of the message
	rounds map[string]uint64 // nil when everything was open at admission
	probes []string
	// of the attempt: whether nobody answered, and which hosts were asked; nil: not known
	silent bool
	asked  []string
}

// Scopes of pauses by an operator.
const (
	operatorAll    = "pause:*"
	operatorPrefix = "pause:"
)

// shared reports whether the pause of a scope is the whole fleet's. A key's is not: each
// worker has tokens of its own.
func shared(scope string) bool {
	return strings.HasPrefix(scope, "host:") || strings.HasPrefix(scope, "group:")
}

func newGates(sources []Source, observe func(Event)) *gates {
	g := &gates{
		observe: observe, breakAfter: 5,
		scopes:  make(map[string]*gate),
		sources: make(map[string][]string, len(sources)),
		hosts:   make(map[string]string, len(sources)),
		strikes: make(map[string]strikes),
		resumed: make(map[string]time.Time),
		changed: make(chan struct{}),
	}
	for _, s := range sources {
		g.sources[s.Name] = append([]string{"source:" + s.Name, operatorAll, operatorPrefix + s.Name}, s.Scopes...)
		g.hosts[s.Name] = hostOf(s.Scopes)
	}
	return g
}

// hostOf is the first host among scopes; "" if there is none.
func hostOf(scopes []string) string {
	if i := slices.IndexFunc(scopes, func(s string) bool { return strings.HasPrefix(s, "host:") }); i >= 0 {
		return scopes[i]
	}
	return ""
}

// state of a source's gates.
type gateState int

const (
	gateOpen   gateState = iota
	gateProbe            // a pause is over, nobody has proven yet that things work again
	gatePaused           // pull nothing
)

// state of a source, how long its pause lasts (0: until something changes), and a channel
// that closes at the next change of any gate.
func (g *gates) state(source string) (gateState, time.Duration, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	state, wait := g.stateOf(g.sources[source], time.Now())
	return state, wait, g.changed
}

func (g *gates) stateOf(scopes []string, now time.Time) (state gateState, wait time.Duration) {
	if len(g.scopes) == 0 {
		return gateOpen, 0
	}
	for _, scope := range scopes {
		gate := g.scopes[scope]
		switch {
		case gate == nil || gate.operator && gate.over(now):
		case !gate.over(now):
			state = gatePaused
			if !gate.until.IsZero() {
				wait = max(wait, gate.until.Sub(now))
			}
		case gate.probing:
			state = gatePaused
		case g.elsewhere(gate, now):
			state, wait = gatePaused, max(wait, gate.probeUntil.Sub(now))
		default:
			state = max(state, gateProbe)
		}
	}
	return state, wait
}

// elsewhere reports that another worker probes.
func (g *gates) elsewhere(gate *gate, now time.Time) bool {
	return !g.alone && gate.prober != "" && !gate.mine && now.Before(gate.probeUntil)
}

// wait blocks until the source may pull, fully or for a probe. It returns gatePaused
// only when ctx ended.
func (g *gates) wait(ctx context.Context, source string) gateState {
	for {
		state, wait, changed := g.state(source)
		if state != gatePaused {
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
			return gatePaused
		}
		timer.Stop()
	}
}

// blocked is how long a message with these scopes of its own has to wait for them; 0 when
// they are open or may be probed.
func (g *gates) blocked(extra []string) time.Duration {
	if len(extra) == 0 {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	state, wait := g.stateOf(extra, time.Now())
	if state == gatePaused {
		return max(wait, time.Second)
	}
	return 0
}

// admit lets one message of the source through, waiting while another is probing. It
// answers nil when the source is paused or ctx ended: hand the message back.
func (g *gates) admit(ctx context.Context, source string, extra ...string) *pass {
	for {
		p, changed := g.tryAdmit(source, extra...)
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

func (g *gates) tryAdmit(source string, extra ...string) (*pass, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &pass{gates: g, source: source, extra: extra}
	if len(g.scopes) == 0 {
		return p, nil
	}
	now := time.Now()
	for _, scopes := range [...][]string{g.sources[source], extra} {
		for _, scope := range scopes {
			gate := g.scopes[scope]
			switch {
			case gate == nil || gate.operator && gate.over(now):
				continue
			case !gate.over(now):
				return nil, nil
			case gate.probing, !g.mayProbe(scope, gate, now):
				return nil, g.changed
			}
			if p.rounds == nil {
				p.rounds = make(map[string]uint64)
			}
			p.rounds[scope] = gate.round
			p.probes = append(p.probes, scope)
		}
	}
	for _, scope := range p.probes {
		g.scopes[scope].probing = true
	}
	return p, nil
}

// mayProbe reports whether this worker is the one to probe the scope, and asks to be it.
func (g *gates) mayProbe(scope string, gate *gate, now time.Time) bool {
	if !gate.posted || g.alone || gate.mine {
		return true
	}
	if !gate.asked && !g.elsewhere(gate, now) {
		gate.asked = true
		g.tell(change{kind: claiming, scope: scope, base: gate.round})
	}
	return false
}

// probe ends what is left of a scope's pause.
func (g *gates) probe(scope string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gate, now := g.scopes[scope], time.Now(); gate != nil && !gate.operator && gate.until.After(now) {
		gate.until = now
		g.wake()
	}
}

func (g *gates) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// paused lists the scopes that are not open and what is left of their pause; less than 0
// means that it lasts until somebody ends it.
func (g *gates) paused() map[string]time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	var list map[string]time.Duration
	for scope, gate := range g.scopes {
		if gate.operator && gate.over(now) {
			continue
		}
		if list == nil {
			list = make(map[string]time.Duration, len(g.scopes))
		}
		if gate.until.IsZero() {
			list[scope] = -1
		} else {
			list[scope] = max(0, gate.until.Sub(now))
		}
	}
	return list
}

// breakers is the state of every host's circuit breaker: closed, open or probing.
func (g *gates) breakers() map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	list := make(map[string]string)
	for _, host := range g.hosts {
		if host != "" {
			list[host] = "closed"
		}
	}
	for scope, gate := range g.scopes {
		switch {
		case !strings.HasPrefix(scope, "host:"):
		case gate.over(now):
			list[scope] = "probing"
		default:
			list[scope] = "open"
		}
	}
	return list
}
