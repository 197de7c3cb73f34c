package worker

import (
	"context"
	"strings"
	"sync"
	"time"
)

// gates holds the pauses of this worker. A scope ("key:main", "host:…") that is paused
// closes every source that depends on it; when the pause ends, one message goes first as
// a probe. What the probe meets opens the scope or pauses it again for twice as long.
type gates struct {
	observe func(Event)

	mu      sync.Mutex
	scopes  map[string]*gate
	sources map[string][]string // source → scopes
	changed chan struct{}       // closed and replaced at each change
}

// gate is the state of one scope that is not simply open.
type gate struct {
	until    time.Time
	failures int
	probing  bool
	round    uint64 // distinguishes the pauses of a scope, so that a crowd failing at once counts once
}

// pass admits one message through all scopes of a source. Exactly one of its ends must
// be called: clear or fail, or drop when nothing was learnt.
type pass struct {
	gates  *gates
	source string
	rounds map[string]uint64 // nil when everything was open at admission
	probes []string
}

// pausePolicy is the first and the longest pause of a scope: DESIGN 4, classification.
func pausePolicy(scope string) (initial, ceiling time.Duration) {
	switch kind, _, _ := strings.Cut(scope, ":"); kind {
	case "key":
		return 2 * time.Second, time.Minute
	case "group":
		return 15 * time.Second, 5 * time.Minute
	default:
		return time.Second, 30 * time.Second
	}
}

func newGates(sources []Source, observe func(Event)) *gates {
	g := &gates{
		observe: observe,
		scopes:  make(map[string]*gate),
		sources: make(map[string][]string, len(sources)),
		changed: make(chan struct{}),
	}
	for _, s := range sources {
		g.sources[s.Name] = append([]string{"source:" + s.Name}, s.Scopes...)
	}
	return g
}

// state of a source's gates.
type gateState int

const (
	gateOpen   gateState = iota
	gateProbe            // a pause is over, nobody has proven yet that things work again
	gatePaused           // pull nothing
)

// state of a source, how long its pause lasts, and a channel that closes at the next
// change of any gate.
func (g *gates) state(source string) (gateState, time.Duration, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	state, wait := gateOpen, time.Duration(0)
	for _, scope := range g.sources[source] {
		gate := g.scopes[scope]
		if gate == nil {
			continue
		}
		state = max(state, gateProbe)
		if left := time.Until(gate.until); left > 0 {
			state, wait = gatePaused, max(wait, left)
		}
	}
	return state, wait, g.changed
}

// wait blocks until the source may pull, fully or for a probe. It returns gatePaused
// only when ctx ended.
func (g *gates) wait(ctx context.Context, source string) gateState {
	for {
		state, wait, changed := g.state(source)
		if state != gatePaused {
			return state
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

// admit lets one message of the source through, waiting while another is probing. It
// answers nil when the source is paused or ctx ended: hand the message back.
func (g *gates) admit(ctx context.Context, source string) *pass {
	for {
		p, changed := g.tryAdmit(source)
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

func (g *gates) tryAdmit(source string) (*pass, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &pass{gates: g, source: source}
	now := time.Now()
	for _, scope := range g.sources[source] {
		gate := g.scopes[scope]
		switch {
		case gate == nil:
			continue
		case now.Before(gate.until):
			return nil, nil
		case gate.probing:
			return nil, g.changed
		}
		if p.rounds == nil {
			p.rounds = make(map[string]uint64)
		}
		p.rounds[scope] = gate.round
		p.probes = append(p.probes, scope)
	}
	for _, scope := range p.probes {
		g.scopes[scope].probing = true
	}
	return p, nil
}

// clear says that the far side was reached: the scopes this message probed are open.
func (p *pass) clear() { p.finish("", 0) }

// fail pauses the scope for at least d and returns how long; the other scopes this
// message probed are open.
func (p *pass) fail(scope string, d time.Duration) time.Duration { return p.finish(scope, d) }

// drop ends the pass without having learnt anything: the next message probes.
func (p *pass) drop() {
	if len(p.probes) == 0 {
		return
	}
	g := p.gates
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, scope := range p.probes {
		if gate := g.scopes[scope]; gate != nil {
			gate.probing = false
		}
	}
	g.wake()
}

func (p *pass) finish(failed string, atLeast time.Duration) (wait time.Duration) {
	if failed == "" && len(p.probes) == 0 {
		return 0
	}
	g := p.gates
	if failed != "" {
		failed = g.known(p.source, failed)
	}
	var events []Event
	g.mu.Lock()
	for _, scope := range p.probes {
		if scope != failed && g.scopes[scope] != nil {
			delete(g.scopes, scope)
			events = append(events, Event{Kind: EventResumed, Scope: scope})
		}
	}
	if failed != "" {
		var event Event
		if event, wait = g.pause(p, failed, atLeast); event.Kind != "" {
			events = append(events, event)
		}
	}
	g.wake()
	g.mu.Unlock()
	for _, event := range events {
		g.observe(event)
	}
	return wait
}

// pause a scope. A message admitted before the scope's latest pause only lengthens it:
// sixty-four requests failing together are one failure.
func (g *gates) pause(p *pass, scope string, atLeast time.Duration) (Event, time.Duration) {
	now := time.Now()
	initial, ceiling := pausePolicy(scope)
	current := g.scopes[scope]
	if current == nil {
		current = &gate{}
		g.scopes[scope] = current
	} else if round, probed := p.rounds[scope]; !probed || round != current.round {
		until := now.Add(min(atLeast, ceiling))
		if until.After(current.until) {
			current.until = until
		}
		return Event{}, max(0, current.until.Sub(now))
	}
	current.failures++
	current.round++
	current.probing = false
	wait := max(doubling(initial, ceiling, current.failures), min(atLeast, ceiling))
	current.until = now.Add(wait)
	return Event{Kind: EventPaused, Source: p.source, Scope: scope, Delay: wait, Probes: current.failures - 1}, wait
}

// probe ends what is left of a scope's pause.
func (g *gates) probe(scope string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gate, now := g.scopes[scope], time.Now(); gate != nil && gate.until.After(now) {
		gate.until = now
		g.wake()
	}
}

// known is the scope itself when the source depends on it, else the source's own: a
// scope nobody declared must not hold up anybody else.
func (g *gates) known(source, scope string) string {
	for _, s := range g.sources[source] {
		if s == scope {
			return scope
		}
	}
	return "source:" + source
}

func (g *gates) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// paused lists the scopes that are not open and what is left of their pause.
func (g *gates) paused() map[string]time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.scopes) == 0 {
		return nil
	}
	list := make(map[string]time.Duration, len(g.scopes))
	for scope, gate := range g.scopes {
		list[scope] = max(0, time.Until(gate.until))
	}
	return list
}
