package breaker

import (
	"slices"
	"time"
)

// Clear says that the far side was reached: the scopes this message proved are open.
func (p *Permit) Clear() {
	b, s := p.breaker, p.source
	if s.key != "" {
		s.worked.Store(time.Now().UnixNano())
	}
	if b.interest.Load() == 0 && !s.refused.Load() {
		return
	}
	b.mu.Lock()
	b.forgive(p)
	changes, _ := b.finish(p, "", 0)
	b.mu.Unlock()
	b.report(changes)
}

// Fail pauses the scope for at least d and returns how long; the other scopes this message
// proved are open. A scope that the message does not depend on pauses its source, and so does a
// group where the source alone meets its limit again and again while others are answered.
func (p *Permit) Fail(scope string, d time.Duration) time.Duration {
	b := p.breaker
	b.mu.Lock()
	if !slices.Contains(p.source.scopes, scope) && !slices.Contains(p.own, scope) {
		scope = Source(p.source.name) // one that nobody declared must not hold up anybody else
	}
	if isGroup(scope) {
		scope = b.limited(p, scope)
	}
	changes, wait := b.finish(p, scope, d)
	if isGroup(scope) {
		b.throttled(scope, wait)
	}
	b.mu.Unlock()
	b.report(changes)
	return wait
}

// Drop ends the permit: the next message probes what this one did not prove.
func (p *Permit) Drop() {
	if len(p.probes) == 0 {
		return
	}
	b := p.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, scope := range p.probes {
		paused := b.scopes[scope]
		if paused == nil || !paused.probing || paused.generation != p.generations[scope] {
			continue
		}
		if paused.prober != (who{p.source.name, p.narrow()}) { // another probe is under way
			continue
		}
		paused.probing = false
		b.release(scope, paused)
	}
	p.probes = nil
	b.wake()
}

// release lets other workers probe.
func (b *Breaker) release(scope string, paused *pause) {
	if paused.posted && paused.mine {
		paused.mine, paused.holder = false, ""
		b.tell(update{kind: dropping, scope: scope, base: paused.generation})
	}
}
