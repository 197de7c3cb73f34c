package breaker

import (
	"slices"
	"time"
)

// refusalsTogether is how far apart refusals in a row are at most.
const refusalsTogether = 24 * time.Hour

// Refuse says that the far side refused the message as it refuses whatever its source sends, such
// as with 403. The same refusal often enough in a row pauses the destination or source of the
// message. It returns how long the message is to wait, and whether it is to be spared: then it is
// not the message that was refused.
func (p *Permit) Refuse() (delay time.Duration, spared bool) {
	b, scope := p.breaker, p.narrow()
	b.mu.Lock()
	if wide := b.scopes[Source(p.source.name)]; wide != nil && wide.refused {
		scope = Source(p.source.name)
	}
	r := b.refusals[scope]
	if r == nil || r.text != p.heard.Reason {
		r = &refusals{text: p.heard.Reason}
		b.refusals[scope] = r
	}
	r.n++
	r.last = time.Now()
	current := b.scopes[scope]
	spared = b.after > 0 && (r.n >= b.after || current != nil && current.refused)
	b.answered(p)
	p.source.accepted()
	p.source.worked.Store(r.last.UnixNano())
	failed := ""
	if spared {
		failed = scope
	}
	changes, delay := b.refuse(p, failed, "")
	b.mu.Unlock()
	b.report(changes)
	return delay, spared
}

// answered notes that the host works, whatever it said.
func (b *Breaker) answered(p *Permit) {
	if host := p.host(); host != "" {
		delete(b.strikes, host)
		b.works[host] = time.Now()
	}
	delete(b.strikes, p.narrow())
	delete(b.strikes, Source(p.source.name))
}

// refuse is finish for a refusal: the scope that is paused for it says so.
func (b *Breaker) refuse(p *Permit, scope, key string) (changes []Change, delay time.Duration) {
	if scope == "" {
		return b.finish(p, "", 0)
	}
	if current := b.scopes[scope]; current != nil && !current.refused {
		b.open(scope, current) // it was in trouble, and answers now
		delete(p.generations, scope)
		p.probes = slices.DeleteFunc(p.probes, func(probed string) bool { return probed == scope })
	}
	if b.scopes[scope] == nil {
		now := time.Now()
		b.scopes[scope] = &pause{since: now, posted: b.shares(scope, now), refused: true, key: key}
		if p.generations == nil {
			p.generations = make(map[string]uint64)
		}
		p.generations[scope] = 0
	}
	changes, delay = b.finish(p, scope, 0)
	for i := range changes {
		changes[i].Refused = changes[i].Scope == scope && changes[i].Paused
	}
	return changes, delay
}

// Verdict is whose trouble a refused token is.
type Verdict int

// The verdicts on a refused token.
const (
	// OfKey: it works for nobody, as far as is known. The key is paused.
	OfKey Verdict = iota
	// OfSource: the key works for other sources. The source is paused once it is refused often
	// enough in a row, or has never worked.
	OfSource
	// Proven: OfSource, and the key has worked for another source since the refusals began.
	Proven
)

// RefuseToken says that the far side refused a new token of the source's key. It returns how long
// the message is to wait and whose trouble that is.
func (p *Permit) RefuseToken() (delay time.Duration, verdict Verdict) {
	b, s := p.breaker, p.source
	b.mu.Lock()
	verdict, p.refused = b.blame(s), true
	b.answered(p)
	scope, key := "", ""
	switch {
	case verdict == OfKey && s.key != "":
		scope = s.key
	case b.after > 0 && s.refusals >= b.after, s.worked.Load() == 0, b.scopes[Source(s.name)] != nil, s.key == "":
		scope, key = Source(s.name), s.key
	}
	var changes []Change
	if scope == s.key {
		p.troubled = true
		changes, delay = b.finish(p, scope, 0)
	} else {
		changes, delay = b.refuse(p, scope, key)
	}
	b.mu.Unlock()
	b.report(changes)
	return delay, verdict
}

// blame notes that a token was refused and says whose trouble it is. The key is to blame where it
// works for nobody: another source that it worked for has been refused since, too. A source that is
// known to be refused by itself is no evidence against the key.
func (b *Breaker) blame(s *source) Verdict {
	now := time.Now()
	if s.refusals == 0 {
		s.since = now
	}
	s.refusals++
	s.last = now
	s.refused.Store(true)
	worked, refused := b.othersOf(s)
	switch {
	case worked.After(s.since):
		s.confirmed = true
		return Proven
	case s.confirmed:
		return Proven
	case worked.IsZero() || !refused.Before(worked):
		return OfKey
	}
	return OfSource
}

// othersOf says when the key of a source worked last for any other, and when it was last refused
// to one that may have been refused for the key's sake.
func (b *Breaker) othersOf(s *source) (worked, refused time.Time) {
	var latest int64
	for _, other := range b.sources {
		if other.key != s.key || other.name == s.name {
			continue
		}
		latest = max(latest, other.worked.Load())
		if other.refusals > 0 && !other.confirmed && other.last.After(refused) {
			refused = other.last
		}
	}
	if latest > 0 {
		worked = time.Unix(0, latest)
	}
	return worked, refused
}

// accepted notes that the far side took the source's token.
func (s *source) accepted() {
	if s.refused.Swap(false) {
		s.refusals, s.since, s.last, s.confirmed = 0, time.Time{}, time.Time{}, false
	}
}
