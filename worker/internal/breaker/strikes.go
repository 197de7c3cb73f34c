package breaker

import (
	"slices"
	"time"
)

// strikesTogether is how far apart failures in a row are at most.
const strikesTogether = 30 * time.Second

// maxPlaces is more than are needed to tell whether failures are wide.
const maxPlaces = 8

// add notes one more failure.
func (s *strikes) add(message uint64, at place, now time.Time) {
	if s.n == 0 || now.Sub(s.last) > strikesTogether {
		*s = strikes{first: now, message: message}
	}
	s.n++
	s.last = now
	s.several = s.several || s.message != message
	if len(s.seen) == maxPlaces || slices.Contains(s.seen, at) {
		return
	}
	for _, other := range s.seen {
		apart := other.destination != at.destination
		s.spread = s.spread || apart
		s.wide = s.wide || other.source != at.source && (apart || at.destination == "")
	}
	s.seen = append(s.seen, at)
}

// Strike says that the far side answered, if at all, that it is in trouble. That counts for the
// destination and the source of the message first: each is paused after enough failures in a row
// of more than one message. The host is paused when failures of at least two sources and
// destinations were seen with no success between. Doubtful says that it may be the message's own
// fault: that counts for its destination and source alone.
//
// It returns how long the message is to wait, and whether its failure is excused: because it
// found out whether something worked that is others' too, or nothing shows that the host works.
func (p *Permit) Strike(doubtful bool) (delay time.Duration, excused bool) {
	b := p.breaker
	excused = !doubtful && len(p.probes) > 0 && slices.ContainsFunc(p.probes, func(scope string) bool { return !Narrow(scope) })
	b.mu.Lock()
	failed, host := b.strike(p, doubtful), p.host()
	p.troubled = true
	changes, delay := b.finish(p, failed, 0)
	if !doubtful && !excused {
		narrow := b.scopes[p.narrow()]
		if narrow == nil {
			narrow = b.scopes[Source(p.source.name)]
		}
		excused = b.scopes[host] != nil || narrow != nil && host != "" && b.works[host].Before(narrow.since)
	}
	b.mu.Unlock()
	b.report(changes)
	return delay, excused
}

// strike notes a failure and returns the scope that is to be paused for it; "" for none, as where
// the source names no host.
func (b *Breaker) strike(p *Permit, doubtful bool) (failed string) {
	now, host := time.Now(), p.host()
	if host == "" {
		return ""
	}
	dest, source := first(p.own, isDest), Source(p.source.name)
	at := place{p.source.name, idOf(dest)}
	b.sweep(now)
	note := func(scope string) *strikes {
		s := b.strikes[scope]
		if s == nil {
			s = &strikes{}
			b.strikes[scope] = s
		}
		s.add(p.heard.Message, at, now)
		return s
	}
	enough := func(s *strikes) bool { return b.after > 0 && s.n >= b.after && s.several }
	if dest != "" {
		if s := note(dest); enough(s) || b.probedBy(p, dest) {
			failed = dest
		}
	}
	switch s := note(source); {
	case failed == "" && b.probedBy(p, source):
		failed = source
	case enough(s) && (dest == "" || s.spread):
		failed = source
	}
	if !doubtful {
		if s := note(host); enough(s) && s.wide || b.probedBy(p, host) {
			failed = host
		}
	}
	b.count()
	return failed
}

// probedBy reports whether a message is still a probe of the scope: meanwhile another may have
// found out.
func (b *Breaker) probedBy(p *Permit, scope string) bool {
	paused := b.scopes[scope]
	return slices.Contains(p.probes, scope) && paused != nil && paused.generation == p.generations[scope]
}

// forgive notes that a message got through.
func (b *Breaker) forgive(p *Permit) {
	now := time.Now()
	hosts := p.heard.Hosts
	if hosts == nil {
		hosts = []string{p.host()}
	}
	for _, host := range hosts {
		if delete(b.strikes, host); host != "" {
			b.works[host] = now
		}
	}
	for _, scope := range []string{first(p.own, isDest), Source(p.source.name)} {
		delete(b.strikes, scope)
		delete(b.refusals, scope)
	}
	p.source.accepted()
	b.sweep(now)
	b.count()
}

// sweep drops strikes that are too long ago to count.
func (b *Breaker) sweep(now time.Time) {
	if now.Sub(b.swept) < strikesTogether {
		return
	}
	b.swept = now
	for scope, s := range b.strikes {
		if now.Sub(s.last) > strikesTogether {
			delete(b.strikes, scope)
		}
	}
	for scope, r := range b.refusals {
		if now.Sub(r.last) > refusalsTogether {
			delete(b.refusals, scope)
		}
	}
}
