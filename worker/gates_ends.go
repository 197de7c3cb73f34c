package worker

import (
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// How passes end: what messages meet at the far side opens gates and closes them.

// pausePolicy is the first and the longest pause of a scope. A host is looked at often, so
// that little time is lost once it works again.
func pausePolicy(scope string) (initial, ceiling time.Duration) {
	switch kind, _, _ := strings.Cut(scope, ":"); kind {
	case "key":
		return 2 * time.Second, time.Minute
	case "group":
		return 15 * time.Second, 5 * time.Minute
	case "host":
		return time.Second, 4 * time.Second
	default:
		return time.Second, 30 * time.Second
	}
}

// strikesTogether is how far apart failures of a host may be that count as failures in a
// row.
const strikesTogether = 30 * time.Second

// strikes are the failures of a host in a row.
type strikes struct {
	n    int
	last time.Time
}

// flapping is how soon after others have found a scope to work this worker's failure there
// is taken for its own trouble, which pauses nobody else.
const flapping = 10 * time.Second

// hear notes how an attempt ended, before what that means for the gates.
func (p *pass) hear(answer outbox.Answer, err error) {
	p.silent, p.asked = err != nil && answer.Status == 0, answer.Hosts
}

// proved reports whether the attempt has shown that a scope works, if it has not failed: what
// nobody asked, or got an answer from, is left to the next probe.
func (p *pass) proved(scope string) bool {
	if p.asked != nil && strings.HasPrefix(scope, "host:") {
		return !p.silent && slices.Contains(p.asked, scope)
	}
	return !p.silent
}

// clear says that the far side was reached: the scopes this message proved are open.
func (p *pass) clear() {
	if p.gates.struck.Load() > 0 {
		if p.asked == nil {
			p.gates.forgive(p.host())
		}
		for _, host := range p.asked {
			p.gates.forgive(host)
		}
	}
	p.finish("", 0)
}

// fail pauses the scope for at least d and returns how long; the other scopes this
// message proved are open.
func (p *pass) fail(scope string, d time.Duration) time.Duration { return p.finish(scope, d) }

// strike says that the host answered, if at all, that it is in trouble. Enough of
// that pause the host, as does a probe that meets it. It returns for how long, and whether
// the host is paused by now, for whatever reason.
func (p *pass) strike() (delay time.Duration, paused bool) {
	host := p.host()
	if host == "" {
		return p.finish("", 0), false
	}
	if slices.Contains(p.probes, host) || p.gates.strike(host) {
		return p.finish(host, 0), true
	}
	return p.finish("", 0), p.gates.closed(host)
}

// closed reports whether a scope is paused, or has yet to be proved.
func (g *gates) closed(scope string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.scopes[scope] != nil
}

// host is the one that was asked last, or that the message goes to.
func (p *pass) host() string {
	if n := len(p.asked); n > 0 {
		return p.asked[n-1]
	}
	if host := hostOf(p.extra); host != "" {
		return host
	}
	return p.gates.hosts[p.source]
}

func (g *gates) strike(host string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, now := g.strikes[host], time.Now()
	if now.Sub(s.last) > strikesTogether {
		s.n = 0
	}
	s.n, s.last = s.n+1, now
	g.strikes[host] = s
	g.struck.Store(int64(len(g.strikes)))
	return g.breakAfter > 0 && s.n >= g.breakAfter
}

func (g *gates) forgive(host string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.strikes, host)
	g.struck.Store(int64(len(g.strikes)))
}

// drop ends the pass: the next message probes what this one did not prove.
func (p *pass) drop() {
	if len(p.probes) == 0 {
		return
	}
	g := p.gates
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, scope := range p.probes {
		gate := g.scopes[scope]
		if gate == nil || !gate.probing || gate.round != p.rounds[scope] {
			continue
		}
		gate.probing = false
		if gate.posted && gate.mine {
			gate.mine, gate.prober = false, "" // another may probe
			g.tell(change{kind: dropping, scope: scope, base: gate.round})
		}
	}
	p.probes = nil
	g.wake()
}

func (p *pass) finish(failed string, atLeast time.Duration) (wait time.Duration) {
	if failed == "" && len(p.probes) == 0 {
		return 0
	}
	g := p.gates
	if failed != "" {
		failed = g.known(p, failed)
	}
	var events []Event
	g.mu.Lock()
	var unproved []string // drop hands them on
	for _, scope := range p.probes {
		switch gate := g.scopes[scope]; {
		case scope == failed || gate == nil || gate.round != p.rounds[scope]:
		case !p.proved(scope):
			unproved = append(unproved, scope)
		default:
			g.open(scope, gate)
			events = append(events, Event{Kind: EventResumed, Scope: scope})
		}
	}
	if failed != "" {
		var event Event
		if event, wait = g.pause(p, failed, atLeast); event.Kind != "" {
			events = append(events, event)
		}
	}
	p.probes = unproved
	g.wake()
	g.mu.Unlock()
	for _, event := range events {
		g.observe(event)
	}
	return wait
}

// open a scope whose probe got through.
func (g *gates) open(scope string, gate *gate) {
	delete(g.scopes, scope)
	delete(g.strikes, scope)
	g.struck.Store(int64(len(g.strikes)))
	if gate.posted {
		g.tell(change{kind: resuming, scope: scope, base: gate.round})
	}
}

// pause a scope. A message admitted before the scope's latest pause only lengthens it:
// sixty-four requests failing together are one failure.
func (g *gates) pause(p *pass, scope string, atLeast time.Duration) (Event, time.Duration) {
	now := time.Now()
	initial, ceiling := pausePolicy(scope)
	current := g.scopes[scope]
	if current == nil {
		current = &gate{posted: g.post != nil && shared(scope) && now.Sub(g.resumed[scope]) > flapping}
		g.scopes[scope] = current
	} else if round, probed := p.rounds[scope]; !probed || round != current.round {
		if until := now.Add(min(atLeast, ceiling)); until.After(current.until) {
			current.until = until
			g.tellPause(scope, current, 0, now)
		}
		return Event{}, max(0, current.until.Sub(now))
	}
	base := current.round
	current.failures++
	current.round++
	current.probing, current.mine, current.asked, current.prober = false, false, false, ""
	wait := max(doubling(initial, ceiling, current.failures), min(atLeast, ceiling))
	current.until = now.Add(wait)
	g.tellPause(scope, current, base, now)
	return Event{Kind: EventPaused, Source: p.source, Scope: scope, Delay: wait, Probes: current.failures - 1}, wait
}

func (g *gates) tellPause(scope string, gate *gate, base uint64, now time.Time) {
	if gate.posted {
		g.tell(change{kind: pausing, scope: scope, base: base, left: gate.until.Sub(now), failures: gate.failures})
	}
}

func (g *gates) tell(c change) {
	if g.post != nil {
		g.post(c)
	}
}

// known is the scope itself when the message depends on it, else its source's own: a
// scope nobody declared must not hold up anybody else.
func (g *gates) known(p *pass, scope string) string {
	if slices.Contains(g.sources[p.source], scope) || slices.Contains(p.extra, scope) {
		return scope
	}
	return "source:" + p.source
}
