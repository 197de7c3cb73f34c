package breaker

import (
	"slices"
	"strings"
	"time"
)

// Entry is one pause.
type Entry struct {
	Scope string
	// Left of the pause, until the next probe; −1: until it is ended; 0: it is being probed.
	Left     time.Duration
	Since    time.Time // when the first failure was seen; zero: not known
	Operator bool
	By       string // who paused it: an operator, or a worker that told the others
	Failures int    // in a row: the one that paused it and the probes that failed
	Reason   string
	Refused  bool // the far side refuses the source itself
}

// Entries lists what is paused, in the order of the scopes.
func (b *Breaker) Entries() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	var list []Entry
	for scope, p := range b.scopes {
		if p.operator && p.over(now) {
			continue
		}
		e := Entry{Scope: scope, Left: forever, Since: p.since, Operator: p.operator, By: p.by, Failures: p.failures, Reason: p.reason, Refused: p.refused}
		if !p.until.IsZero() {
			e.Left = max(0, p.until.Sub(now))
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Scope, b.Scope) })
	return list
}

// Hosts returns the state of every host: closed, open or probing, as a circuit breaker is.
func (b *Breaker) Hosts() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	list := make(map[string]string)
	for scope := range b.users {
		if IsHost(scope) {
			list[scope] = "closed"
		}
	}
	for scope, p := range b.scopes {
		switch {
		case !IsHost(scope):
		case p.over(now):
			list[scope] = "probing"
		default:
			list[scope] = "open"
		}
	}
	return list
}
