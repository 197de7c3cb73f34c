package breaker

import (
	"slices"
	"strings"
	"time"
)

// Permit admits one message through all scopes of its source, and those of its own. Call at most
// one of Clear, Fail and Strike, then always Drop, which hands on the probes that the attempt did
// not prove. It is not safe for concurrent use.
type Permit struct {
	breaker     *Breaker
	source      string
	own         []string          // scopes of the message
	generations map[string]uint64 // of the scopes that were not open at admission; nil when all were
	probes      []string
	// of the attempt: whether nobody answered, and which hosts were asked; nil: not known
	silent bool
	asked  []string
}

// Failures of a host further apart than strikesTogether are not failures in a row.
const strikesTogether = 30 * time.Second

// strikes are the failures of a host in a row.
type strikes struct {
	n    int
	last time.Time
}

// flapping is how soon after others have found a scope to work this worker's failure there
// is taken for its own trouble, which pauses nobody else.
const flapping = 10 * time.Second

// Probes reports whether the message finds out if something that was paused works again.
func (p *Permit) Probes() bool { return len(p.probes) > 0 }

// Own returns the scopes of the message that its source does not have.
func (p *Permit) Own() []string { return p.own }

// Hear notes how an attempt ended, before what that means: whether nobody answered, and the
// hosts that were asked, the last one last; nil: not known.
func (p *Permit) Hear(silent bool, hosts []string) { p.silent, p.asked = silent, hosts }

// proved reports whether the attempt has shown that a scope works, if it has not failed: what
// nobody asked, or got an answer from, is left to the next probe.
func (p *Permit) proved(scope string) bool {
	if p.asked != nil && IsHost(scope) {
		return !p.silent && slices.Contains(p.asked, scope)
	}
	return !p.silent
}

// Clear says that the far side was reached: the scopes this message proved are open.
func (p *Permit) Clear() {
	if p.breaker.struck.Load() > 0 {
		if p.asked == nil {
			p.breaker.forgive(p.host())
		}
		for _, host := range p.asked {
			p.breaker.forgive(host)
		}
	}
	p.finish("", 0)
}

// Fail pauses the scope for at least d and returns how long; the other scopes this
// message proved are open.
func (p *Permit) Fail(scope string, d time.Duration) time.Duration { return p.finish(scope, d) }

// Strike says that the host answered, if at all, that it is in trouble. Enough of that pause the
// host, as does a probe that meets it. It returns for how long, and whether the host is paused by
// now, for whatever reason.
func (p *Permit) Strike() (delay time.Duration, paused bool) {
	host := p.host()
	if host == "" {
		return p.finish("", 0), false
	}
	if slices.Contains(p.probes, host) || p.breaker.strike(host) {
		return p.finish(host, 0), true
	}
	return p.finish("", 0), p.breaker.closed(host)
}

// closed reports whether a scope is paused, or has yet to be proved.
func (b *Breaker) closed(scope string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.scopes[scope] != nil
}

// host is the one that was asked last, or that the message goes to.
func (p *Permit) host() string {
	if n := len(p.asked); n > 0 {
		return p.asked[n-1]
	}
	if host := hostOf(p.own); host != "" {
		return host
	}
	p.breaker.mu.Lock()
	defer p.breaker.mu.Unlock()
	return p.breaker.hosts[p.source]
}

func (b *Breaker) strike(host string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, now := b.strikes[host], time.Now()
	if now.Sub(s.last) > strikesTogether {
		s.n = 0
	}
	s.n, s.last = s.n+1, now
	b.strikes[host] = s
	b.struck.Store(int64(len(b.strikes)))
	return b.after > 0 && s.n >= b.after
}

func (b *Breaker) forgive(host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.strikes, host)
	b.struck.Store(int64(len(b.strikes)))
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
		paused.probing = false
		if paused.posted && paused.mine {
			paused.mine, paused.prober = false, "" // another may probe
			b.tell(update{kind: dropping, scope: scope, base: paused.generation})
		}
	}
	p.probes = nil
	b.wake()
}

func (p *Permit) finish(failed string, atLeast time.Duration) (wait time.Duration) {
	if failed == "" && len(p.probes) == 0 {
		return 0
	}
	b := p.breaker
	var changes []Change
	b.mu.Lock()
	if failed != "" {
		failed = b.known(p, failed)
	}
	var unproved []string // Drop hands them on
	for _, scope := range p.probes {
		switch paused := b.scopes[scope]; {
		case scope == failed || paused == nil || paused.generation != p.generations[scope]:
		case !p.proved(scope):
			unproved = append(unproved, scope)
		default:
			b.open(scope, paused)
			changes = append(changes, Change{Scope: scope})
		}
	}
	if failed != "" {
		var change Change
		if change, wait = b.pause(p, failed, atLeast); change.Paused {
			changes = append(changes, change)
		}
	}
	p.probes = unproved
	b.wake()
	b.mu.Unlock()
	for _, change := range changes {
		b.changes(change)
	}
	return wait
}

// open a scope whose probe got through.
func (b *Breaker) open(scope string, paused *pause) {
	delete(b.scopes, scope)
	delete(b.strikes, scope)
	b.struck.Store(int64(len(b.strikes)))
	if paused.posted {
		b.tell(update{kind: resuming, scope: scope, base: paused.generation})
	}
}

// pause a scope. A message admitted before the scope's latest pause only lengthens it:
// sixty-four requests failing together are one failure.
func (b *Breaker) pause(p *Permit, scope string, atLeast time.Duration) (Change, time.Duration) {
	now := time.Now()
	initial, ceiling := pausePolicy(scope)
	current := b.scopes[scope]
	if current == nil {
		current = &pause{posted: b.post != nil && isShared(scope) && now.Sub(b.resumed[scope]) > flapping}
		b.scopes[scope] = current
	} else if generation, probed := p.generations[scope]; !probed || generation != current.generation {
		if until := now.Add(min(atLeast, ceiling)); until.After(current.until) {
			current.until = until
			b.tellPause(scope, current, 0, now)
		}
		return Change{}, max(0, current.until.Sub(now))
	}
	base := current.generation
	current.failures++
	current.generation++
	current.probing, current.mine, current.asked, current.prober = false, false, false, ""
	wait := max(doubled(initial, ceiling, current.failures), min(atLeast, ceiling))
	current.until = now.Add(wait)
	b.tellPause(scope, current, base, now)
	return Change{Scope: scope, Source: p.source, Paused: true, Delay: wait, Probes: current.failures - 1}, wait
}

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

// doubled is the n-th pause in a row.
func doubled(initial, ceiling time.Duration, n int) time.Duration {
	for ; n > 1 && initial < ceiling; n-- {
		initial *= 2
	}
	return min(initial, ceiling)
}

func (b *Breaker) tellPause(scope string, paused *pause, base uint64, now time.Time) {
	if paused.posted {
		b.tell(update{kind: pausing, scope: scope, base: base, left: paused.until.Sub(now), failures: paused.failures})
	}
}

func (b *Breaker) tell(u update) {
	if b.post != nil {
		b.post(u)
	}
}

// known is the scope itself when the message depends on it, else its source's own: a
// scope nobody declared must not hold up anybody else.
func (b *Breaker) known(p *Permit, scope string) string {
	if slices.Contains(b.sources[p.source], scope) || slices.Contains(p.own, scope) {
		return scope
	}
	return "source:" + p.source
}
