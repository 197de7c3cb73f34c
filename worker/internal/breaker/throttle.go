package breaker

import (
	"slices"
	"time"
)

// throttlesTogether is how long it is remembered who met the limit of a group.
const throttlesTogether = 10 * time.Minute

// limited is what a message that met a limit of requests pauses: its group, unless its source alone
// was limited before, too, and others have been answered since the group went on. Then the limit is
// the source's.
func (b *Breaker) limited(p *Permit, group string) string {
	now := time.Now()
	t := b.throttles[group]
	if t == nil || t.source != p.source.name || now.Sub(t.last) > throttlesTogether {
		b.throttles[group] = &throttle{source: p.source.name, last: now}
		return group
	}
	t.last = now
	if b.scopes[group] != nil || t.until.IsZero() || !b.answeredSince(t.until, group, p.source) {
		return group
	}
	return Source(p.source.name)
}

// answeredSince reports whether another source of the group was answered at an instant or later.
func (b *Breaker) answeredSince(at time.Time, group string, but *source) bool {
	for _, other := range b.sources {
		if other != but && other.worked.Load() >= at.UnixNano() && slices.Contains(other.scopes, group) {
			return true
		}
	}
	return false
}

// throttled notes how long a group is paused.
func (b *Breaker) throttled(group string, wait time.Duration) {
	if t := b.throttles[group]; t != nil {
		t.until = time.Now().Add(wait)
	}
}
