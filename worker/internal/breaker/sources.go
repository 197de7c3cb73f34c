package breaker

import (
	"slices"
)

func newSource(name string, scopes []string) *source {
	s := &source{name: name}
	s.depend(scopes)
	return s
}

// depend replaces the scopes that the source has besides its own.
func (s *source) depend(scopes []string) {
	s.scopes = append([]string{Source(s.name), operatorAll, OperatorScope(s.name, "")}, scopes...)
	s.key, s.host = first(scopes, isKey), first(scopes, IsHost)
}

// replaced is the source with other scopes; permits read the old one. Of a new key nothing is
// known.
func (s *source) replaced(scopes []string) *source {
	next := newSource(s.name, scopes)
	if next.key != s.key {
		return next
	}
	next.worked.Store(s.worked.Load())
	next.refused.Store(s.refused.Load())
	next.refusals, next.since, next.last, next.confirmed = s.refusals, s.since, s.last, s.confirmed
	return next
}

// SetSources replaces the sources and the scopes that each depends on. What is known of a source
// that stays is kept; pauses of one that is gone are forgotten here, not by other workers. Permits
// go on.
func (b *Breaker) SetSources(sources map[string][]string) {
	b.mu.Lock()
	var gone []Change
	for name := range b.sources {
		if _, stays := sources[name]; !stays {
			delete(b.sources, name)
		}
	}
	for name, scopes := range sources {
		if s := b.sources[name]; s == nil {
			b.sources[name] = newSource(name, scopes)
		} else if !slices.Equal(s.scopes[3:], scopes) {
			b.sources[name] = s.replaced(scopes)
		}
	}
	clear(b.users)
	for _, s := range b.sources {
		b.use(s)
	}
	for scope := range b.scopes {
		if Narrow(scope) && b.sources[ofSource(scope)] == nil {
			delete(b.scopes, scope)
			gone = append(gone, Change{Scope: scope, Reason: "the source is not served here any more"})
		}
	}
	for scope := range b.strikes {
		if Narrow(scope) && b.sources[ofSource(scope)] == nil {
			delete(b.strikes, scope)
		}
	}
	for scope := range b.refusals {
		if b.sources[ofSource(scope)] == nil {
			delete(b.refusals, scope)
		}
	}
	b.count()
	b.wake()
	b.mu.Unlock()
	b.report(gone)
}

// AddSource adds a source that depends on nothing but its own scopes, at no cost for the others.
func (b *Breaker) AddSource(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sources[name] == nil {
		s := newSource(name, nil)
		b.sources[name] = s
		b.use(s)
	}
}

// use counts who depends on the scopes of a source.
func (b *Breaker) use(s *source) {
	for _, scope := range s.scopes {
		b.users[scope]++
	}
}

// report tells the owner of changes.
func (b *Breaker) report(changes []Change) {
	for _, c := range changes {
		b.changes(c)
	}
}
