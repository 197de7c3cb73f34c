package breaker

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// The shared state is one key of the bucket that all workers share. In it they tell each other
// of paused hosts and egress groups, and operators of sources to pause; one worker at a time may
// probe. Times in it are lengths, counted from the moment it was written, so that clocks need not
// agree. It is written when something changes, never for a message.

// sharedKey is its key in the state bucket.
const sharedKey = "pauses"

// probeLease is how long a worker that has said that it probes is believed to be alive.
const probeLease = 10 * time.Second

// forever stands for a pause that lasts until it is ended.
const forever = time.Duration(-1)

// shared is what the key holds.
type shared struct {
	// Last is the latest generation; generations are never used twice.
	Last   uint64                 `json:"last"`
	Scopes map[string]sharedPause `json:"scopes,omitempty"`
}

// sharedPause is one scope that is not open.
type sharedPause struct {
	Generation uint64 `json:"generation"`
	Failures   int    `json:"failures,omitempty"`
	// Lasted is how long ago the first failure was seen.
	Lasted time.Duration `json:"lasted,omitempty"`
	// Reason is what was met: a text that may be shown. Refused: the far side refuses the source.
	Reason  string `json:"reason,omitempty"`
	Refused bool   `json:"refused,omitempty"`
	// Left of the pause, in nanoseconds; −1: until it is ended.
	Left time.Duration `json:"left"`
	// Prober is the worker that probes, ProbeLeft for how long that is believed.
	Prober    string        `json:"prober,omitempty"`
	ProbeLeft time.Duration `json:"probe_left,omitempty"`
	// Operator says that a person paused it; By, who wrote it.
	Operator bool   `json:"operator,omitempty"`
	By       string `json:"by,omitempty"`
}

// ranOut reports that an operator's pause that was written at a moment is over, which nobody
// writes.
func (p sharedPause) ranOut(at, now time.Time) bool {
	return p.Operator && p.Left != forever && !now.Before(at.Add(p.Left))
}

func decodeShared(data []byte) (shared, error) {
	s := shared{Scopes: map[string]sharedPause{}}
	if len(data) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if s.Scopes == nil {
		s.Scopes = map[string]sharedPause{}
	}
	for scope, p := range s.Scopes {
		if p.Left < forever || p.ProbeLeft < 0 || p.Failures < 0 || p.Lasted < 0 {
			return s, fmt.Errorf("%w: that of %q makes no sense", errDamaged, scope)
		}
	}
	return s, nil
}

// errDamaged is returned for a shared state that cannot be read.
var errDamaged = errors.New("key " + sharedKey + " of the state bucket is damaged and does not hold pauses; a worker that runs puts back what it knows within some seconds")

// updateKind says what a worker or an operator changes.
type updateKind int

const (
	pausing updateKind = iota
	resuming
	claiming // asks to probe
	dropping // ends a probe that learnt nothing
	operatorPausing
	operatorResuming
)

// update is one change of the shared state, to be made to whatever it is by then.
type update struct {
	kind     updateKind
	scope    string
	base     uint64 // the generation that it comes from; 0: the scope was open
	left     time.Duration
	lasted   time.Duration
	failures int
	reason   string
	refused  bool
	at       time.Time // when a worker posted it
}

// lengthening is the base of a pause that goes on for longer, whichever generation it is by then.
const lengthening = math.MaxUint64

// due is a pause with what is left of it; false when it is over and one of the changes that
// come after it says so.
func (u update) due(now time.Time, then []update) (update, bool) {
	if u.kind != pausing {
		return u, true
	}
	u.left, u.lasted = max(0, u.left-now.Sub(u.at)), u.lasted+now.Sub(u.at)
	return u, u.left > 0 || !slices.ContainsFunc(then, func(t update) bool { return t.kind == resuming && t.scope == u.scope })
}

// queued has an update wait with others. One that says how a pause goes on, or that it is over, takes
// the place of what waits to be said of it: however long nobody can be told, there is little to tell.
func queued(queue []update, u update) []update {
	if u.kind != pausing && u.kind != resuming {
		return append(queue, u)
	}
	said := func(other update) bool { return other.kind == pausing && other.scope == u.scope }
	first := slices.IndexFunc(queue, func(other update) bool { return said(other) && other.base != lengthening })
	if first >= 0 {
		u.base = queue[first].base
	}
	queue = slices.DeleteFunc(queue, said)
	if u.kind == resuming && first >= 0 && u.base == 0 {
		return queue // the others never knew
	}
	return append(queue, u)
}

// after is the shared state some time later.
func (s shared) after(d time.Duration) shared {
	s.Scopes = maps.Clone(s.Scopes)
	for scope, p := range s.Scopes {
		if p.Left != forever {
			p.Left = max(0, p.Left-d)
		}
		p.Lasted += d
		if p.ProbeLeft = max(0, p.ProbeLeft-d); p.ProbeLeft == 0 {
			p.Prober = ""
		}
		if p.Operator && p.Left == 0 {
			delete(s.Scopes, scope)
			continue
		}
		s.Scopes[scope] = p
	}
	return s
}

// apply makes an update by the named worker; false when there is nothing to change.
func (s *shared) apply(u update, by string) bool {
	p, found := s.Scopes[u.scope]
	same := found && p.Generation == u.base
	switch u.kind {
	case pausing:
		if found && !same { // others were quicker: it is one pause, the longer counts
			if p.Left >= u.left {
				return false
			}
			p.Left = u.left
			break
		}
		s.Last++
		p = sharedPause{Generation: s.Last, Failures: max(u.failures, p.Failures), Left: u.left, By: by,
			Lasted: max(u.lasted, p.Lasted), Reason: u.reason, Refused: u.refused}
	case operatorPausing:
		s.Last++
		p = sharedPause{Generation: s.Last, Left: u.left, Operator: true, By: by, Reason: clip(u.reason)}
	case resuming, operatorResuming:
		if !found || u.kind == resuming && !same {
			return false
		}
		delete(s.Scopes, u.scope)
		return true
	case claiming:
		if !same || p.Prober != "" && p.Prober != by {
			return false
		}
		p.Prober, p.ProbeLeft = by, probeLease
	case dropping:
		if !same || p.Prober != by {
			return false
		}
		p.Prober, p.ProbeLeft = "", 0
	}
	s.Scopes[u.scope] = p
	return true
}

// adopt takes in what the shared state was at a moment; own is this worker's name in it, busy the
// scopes whose updates by this worker are not in it yet. Narrow scopes of sources that are not
// served here are left out. Only a worker that has told the others what it knows is together with
// them again.
func (b *Breaker) adopt(s shared, at time.Time, own string, busy map[string]bool, told bool) {
	var changes []Change
	b.mu.Lock()
	now, moved := time.Now(), b.alone && told
	b.alone, b.narrow = b.alone && !told, 0
	for scope, p := range s.Scopes {
		if Narrow(scope) {
			if b.narrow++; b.sources[ofSource(scope)] == nil {
				continue
			}
		}
		if busy[scope] || p.ranOut(at, now) {
			continue
		}
		news, differs := b.adoptPause(scope, p, at, now, own)
		moved = moved || differs
		if news {
			changes = append(changes, Change{Scope: scope, Paused: true, Delay: max(0, p.Left), Probes: max(0, p.Failures-1), Reason: p.Reason, Refused: p.Refused})
		}
	}
	for scope, current := range b.scopes {
		if p, there := s.Scopes[scope]; there && !p.ranOut(at, now) || busy[scope] || !current.posted {
			continue
		}
		delete(b.scopes, scope)
		delete(b.strikes, scope)
		b.resumed[scope] = now
		changes = append(changes, Change{Scope: scope})
	}
	for scope, at := range b.resumed {
		if now.Sub(at) > flapping {
			delete(b.resumed, scope)
		}
	}
	b.count()
	b.countHeld(now)
	if moved || len(changes) > 0 {
		b.wake()
	}
	b.mu.Unlock()
	b.report(changes)
}

// adoptPause takes in one pause and reports whether it is news for the owner of the breaker, and
// whether it differs at all.
func (b *Breaker) adoptPause(scope string, p sharedPause, at, now time.Time, own string) (news, differs bool) {
	current := b.scopes[scope]
	var before pause
	if current != nil {
		before = *current
	}
	if current == nil || current.generation != p.Generation || !current.posted {
		news = current == nil || current.until.Before(now) || current.until.IsZero() != (p.Left == forever)
		current = &pause{generation: p.Generation, posted: true, operator: p.Operator, key: before.key, prober: before.prober, probeSince: before.probeSince}
		current.probing = before.probing && before.posted && p.Prober == own // a probe that is under way stays one
		b.scopes[scope] = current
	}
	current.failures, current.reason, current.refused = p.Failures, p.Reason, p.Refused
	if p.Operator {
		current.by = p.By
	}
	current.since = at.Add(-p.Lasted)
	current.until = time.Time{}
	if p.Left != forever {
		current.until = at.Add(p.Left)
	}
	current.holder, current.mine = p.Prober, p.Prober == own
	current.probeUntil = at.Add(p.ProbeLeft)
	if current.holder != "" || current.over(now) {
		current.asked = false
	}
	return news, *current != before
}

// renewals are the claims that must be renewed because this worker's probes go on. One that takes
// long may hang for a reason of its own, and is given up: another worker may probe as well.
func (b *Breaker) renewals() []update {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []update
	for scope, p := range b.scopes {
		switch {
		case !p.posted || !p.mine || !p.probing:
		case !isDest(scope) && time.Since(p.probeSince) > patience:
			list = append(list, update{kind: dropping, scope: scope, base: p.generation})
		case time.Until(p.probeUntil) < probeLease/2:
			list = append(list, update{kind: claiming, scope: scope, base: p.generation})
		}
	}
	return list
}

// lose says that the others cannot be reached: until they can, this worker probes alone.
func (b *Breaker) lose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.alone {
		b.alone = true
		b.wake()
	}
}
