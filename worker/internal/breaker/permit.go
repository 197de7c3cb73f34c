package breaker

import (
	"slices"
	"time"
)

// Permit admits one message through all scopes of its source, and those of its own. Call Hear and
// then at most one of Clear, Fail, Strike, Refuse and RefuseToken, and always Drop at the end, which
// hands on the probes that the attempt did not prove. It is not safe for concurrent use.
type Permit struct {
	breaker     *Breaker
	source      *source
	own         []string          // scopes of the message
	generations map[string]uint64 // of the scopes that were not open at admission; nil when all were
	probes      []string
	heard       Attempt
	troubled    bool // the attempt says nothing good of any narrow scope
	refused     bool // nor of the key
}

// Attempt is how an attempt ended, before what that means.
type Attempt struct {
	// Silent: nobody answered.
	Silent bool
	// Hosts are the scopes of the hosts that were asked, the last one last; nil: not known.
	Hosts []string
	// Message tells the messages of a worker apart.
	Message uint64
	// Reason is a text for people, without anything of the message. Of a success it may be empty.
	Reason string
}

// Hear notes how an attempt ended.
func (p *Permit) Hear(a Attempt) { p.heard = a }

// Probes reports whether the message finds out if something that was paused works again.
func (p *Permit) Probes() bool { return len(p.probes) > 0 }

// Own returns the scopes of the message that its source does not have.
func (p *Permit) Own() []string { return p.own }

// narrow is the narrowest scope of the message.
func (p *Permit) narrow() string { return narrowest(p.source.name, p.own) }

// narrowest is the narrowest scope of a message of the source with these scopes of its own.
func narrowest(source string, own []string) string {
	if dest := first(own, isDest); dest != "" {
		return dest
	}
	return Source(source)
}

// host is the one that was asked last, or that the message goes to; "" if there is none.
func (p *Permit) host() string {
	if n := len(p.heard.Hosts); n > 0 {
		return p.heard.Hosts[n-1]
	}
	if host := first(p.own, IsHost); host != "" {
		return host
	}
	return p.source.host
}

// proved reports whether the attempt has shown that a scope works, if it has not failed: what
// nobody asked, or got an answer from, is left to the next probe.
func (p *Permit) proved(scope string) bool {
	switch {
	case p.heard.Silent, p.troubled && Narrow(scope), p.refused && isKey(scope):
		return false
	case p.heard.Hosts != nil && IsHost(scope):
		return slices.Contains(p.heard.Hosts, scope)
	}
	return true
}

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
