package breaker

import (
	"strings"
	"time"
	"unicode"
)

// flapping is how soon after others have found a scope to work this worker's failure there
// is taken for its own trouble, which pauses nobody else.
const flapping = 10 * time.Second

// maxNarrow bounds the pauses of narrow scopes in the shared state, which every worker reads twice
// a second. Beyond it each worker pauses and probes them by itself.
const maxNarrow = 100

// finish ends an attempt: it pauses the scope that failed, if one did, and opens those that the
// message proved.
func (b *Breaker) finish(p *Permit, failed string, atLeast time.Duration) (changes []Change, wait time.Duration) {
	if failed == "" && len(p.probes) == 0 {
		return nil, 0
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
		var more []Change
		more, wait = b.pause(p, failed, atLeast)
		changes = append(changes, more...)
	}
	p.probes = unproved
	b.count()
	b.wake()
	return changes, wait
}

// open a scope.
func (b *Breaker) open(scope string, paused *pause) {
	delete(b.scopes, scope)
	delete(b.strikes, scope)
	if paused.posted {
		b.tell(update{kind: resuming, scope: scope, base: paused.generation})
	}
}

// pause a scope. A message admitted before the scope's latest pause only lengthens it:
// sixty-four requests failing together are one failure.
func (b *Breaker) pause(p *Permit, scope string, atLeast time.Duration) ([]Change, time.Duration) {
	now := time.Now()
	current := b.scopes[scope]
	if current == nil {
		current = &pause{since: now, posted: b.shares(scope, now)}
		if s := b.strikes[scope]; s != nil {
			current.since = s.first
		}
		b.scopes[scope] = current
	} else if generation, probed := p.generations[scope]; !probed || generation != current.generation {
		_, ceiling := b.policy(scope, current)
		if until := now.Add(min(atLeast, ceiling)); until.After(current.until) {
			current.until = until
			b.tellPause(scope, current, lengthening, now)
		}
		return nil, max(0, current.until.Sub(now))
	}
	base := current.generation
	current.failures++
	current.generation++
	current.reason, current.prober = clip(p.heard.Reason), who{p.source.name, p.narrow()}
	current.probing, current.mine, current.asked, current.holder = false, false, false, ""
	initial, ceiling := b.policy(scope, current)
	wait := max(doubled(initial, ceiling, current.failures), min(atLeast, ceiling))
	current.until = now.Add(wait)
	b.tellPause(scope, current, base, now)
	var changes []Change
	if current.failures == 1 {
		changes = b.fold(scope)
	}
	return append(changes, Change{Scope: scope, Source: p.source.name, Paused: true, Delay: wait,
		Probes: current.failures - 1, Reason: current.reason}), wait
}

// shares decides whether a new pause of the scope is told to the other workers.
func (b *Breaker) shares(scope string, now time.Time) bool {
	if b.post == nil || !isShared(scope) || now.Sub(b.resumed[scope]) <= flapping {
		return false
	}
	if !Narrow(scope) {
		return true
	}
	b.narrow++
	return b.narrow <= maxNarrow
}

// maxReason bounds the reason of a pause, which is in the shared state.
const maxReason = 200

func clip(reason string) string {
	reason = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' ' // screens show it
		}
		return r
	}, reason)
	if len(reason) > maxReason {
		return strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	return reason
}

// fold ends the pauses of narrower scopes that one of a wider scope explains.
func (b *Breaker) fold(wide string) (changes []Change) {
	if isDest(wide) {
		return nil
	}
	for scope, p := range b.scopes {
		if Narrow(wide) && !isDest(scope) {
			continue
		}
		s := b.sources[ofSource(scope)]
		var explained bool
		switch {
		case s == nil || p.operator || scope == wide:
		case IsHost(wide):
			explained = !p.refused && s.host == wide
		case isKey(wide):
			explained = p.key == wide
		case isDest(scope):
			explained = wide == Source(s.name)
		}
		if explained {
			b.open(scope, p)
			changes = append(changes, Change{Scope: scope, Reason: "the pause of " + wide + " takes its place"})
		}
	}
	return changes
}

// policy is the first and the longest pause of a scope. What may be no more than an outage of
// the far side is looked at often, so that little time is lost once it works again.
func (b *Breaker) policy(scope string, p *pause) (initial, ceiling time.Duration) {
	switch kind, _, _ := strings.Cut(scope, ":"); {
	case kind == "key", p.refused:
		return 2 * time.Second, time.Minute
	case kind == "group":
		return 15 * time.Second, 5 * time.Minute
	case kind == "host", Narrow(scope) && b.outage(scope, p):
		return time.Second, 4 * time.Second
	}
	return time.Second, 30 * time.Second
}

// outage reports whether the pause of a narrow scope may be an outage of its host: nothing has
// worked there since.
func (b *Breaker) outage(scope string, p *pause) bool {
	s := b.sources[ofSource(scope)]
	return s != nil && s.host != "" && b.works[s.host].Before(p.since)
}

// doubled is the n-th pause in a row.
func doubled(initial, ceiling time.Duration, n int) time.Duration {
	for ; n > 1 && initial < ceiling; n-- {
		initial *= 2
	}
	return min(initial, ceiling)
}

// count says of how many scopes a success must be noted.
func (b *Breaker) count() {
	b.interest.Store(int64(len(b.scopes) + len(b.strikes) + len(b.refusals)))
}

func (b *Breaker) tellPause(scope string, p *pause, base uint64, now time.Time) {
	if p.posted {
		b.tell(update{kind: pausing, scope: scope, base: base, left: p.until.Sub(now), lasted: now.Sub(p.since),
			failures: p.failures, reason: p.reason, refused: p.refused})
	}
}

func (b *Breaker) tell(u update) {
	if b.post != nil {
		b.post(u)
	}
}
