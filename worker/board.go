package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// The board is one key of the bucket that all workers share. On it they tell each other of
// paused hosts and egress groups, and operators of sources to pause; one worker at a time
// may probe. Times on it are lengths, counted from the moment it was written, so that
// clocks need not agree. It is written when something changes, never for a message.

// boardKey is the key in the state bucket.
const boardKey = "gates"

// probeLease is how long a worker that has said that it probes is believed to be alive.
const probeLease = 10 * time.Second

// forever stands for a pause that lasts until it is ended.
const forever = time.Duration(-1)

// notices are what is on the board.
type notices struct {
	// Last is the latest round; rounds are never used twice.
	Last   uint64            `json:"last"`
	Scopes map[string]notice `json:"scopes,omitempty"`
}

// notice is one scope that is not open.
type notice struct {
	Round    uint64 `json:"round"`
	Failures int    `json:"failures,omitempty"`
	// Left of the pause, in nanoseconds; −1: until it is ended.
	Left time.Duration `json:"left"`
	// Prober is the worker that probes, ProbeLeft for how long that is believed.
	Prober    string        `json:"prober,omitempty"`
	ProbeLeft time.Duration `json:"probe_left,omitempty"`
	// Operator says that a person paused it; By, who wrote it.
	Operator bool   `json:"operator,omitempty"`
	By       string `json:"by,omitempty"`
}

func decodeNotices(data []byte) (notices, error) {
	n := notices{Scopes: map[string]notice{}}
	if len(data) == 0 {
		return n, nil
	}
	if err := json.Unmarshal(data, &n); err != nil {
		return n, fmt.Errorf("%w: %w", errBoardDamaged, err)
	}
	if n.Scopes == nil {
		n.Scopes = map[string]notice{}
	}
	for scope, s := range n.Scopes {
		if s.Left < forever || s.ProbeLeft < 0 || s.Failures < 0 {
			return n, fmt.Errorf("%w: that of %q makes no sense", errBoardDamaged, scope)
		}
	}
	return n, nil
}

// errBoardDamaged is returned for a board that cannot be read.
var errBoardDamaged = errors.New("key " + boardKey + " of the state bucket is damaged and does not hold pauses; a worker that runs puts back what it knows within some seconds")

// changeKind says what a worker or an operator changes.
type changeKind int

const (
	pausing changeKind = iota
	resuming
	claiming // asks to probe
	dropping // ends a probe that learnt nothing
	operatorPausing
	operatorResuming
)

// change is one change of the board, to be made to whatever is on it by then.
type change struct {
	kind     changeKind
	scope    string
	base     uint64 // the round that it comes from; 0: the scope was open
	left     time.Duration
	failures int
	at       time.Time // when a worker posted it
}

// due is a pause with what is left of it; false when it is over and one of the changes that
// come after it says so.
func (c change) due(now time.Time, then []change) (change, bool) {
	if c.kind != pausing {
		return c, true
	}
	c.left = max(0, c.left-now.Sub(c.at))
	return c, c.left > 0 || !slices.ContainsFunc(then, func(t change) bool { return t.kind == resuming && t.scope == c.scope })
}

// after is the board some time later.
func (n notices) after(d time.Duration) notices {
	n.Scopes = maps.Clone(n.Scopes)
	for scope, s := range n.Scopes {
		if s.Left != forever {
			s.Left = max(0, s.Left-d)
		}
		if s.ProbeLeft = max(0, s.ProbeLeft-d); s.ProbeLeft == 0 {
			s.Prober = ""
		}
		if s.Operator && s.Left == 0 {
			delete(n.Scopes, scope)
			continue
		}
		n.Scopes[scope] = s
	}
	return n
}

// apply makes a change by the named worker; false when there is nothing to change.
func (n *notices) apply(c change, by string) bool {
	s, found := n.Scopes[c.scope]
	same := found && s.Round == c.base
	switch c.kind {
	case pausing:
		if found && !same { // others were quicker: it is one pause, the longer counts
			if s.Left >= c.left {
				return false
			}
			s.Left = c.left
			break
		}
		n.Last++
		s = notice{Round: n.Last, Failures: max(c.failures, s.Failures), Left: c.left, By: by}
	case operatorPausing:
		n.Last++
		s = notice{Round: n.Last, Left: c.left, Operator: true, By: by}
	case resuming, operatorResuming:
		if !found || c.kind == resuming && !same {
			return false
		}
		delete(n.Scopes, c.scope)
		return true
	case claiming:
		if !same || s.Prober != "" && s.Prober != by {
			return false
		}
		s.Prober, s.ProbeLeft = by, probeLease
	case dropping:
		if !same || s.Prober != by {
			return false
		}
		s.Prober, s.ProbeLeft = "", 0
	}
	n.Scopes[c.scope] = s
	return true
}

// adopt takes in what was on the board at a moment; own is this worker's name on it, busy
// the scopes whose changes by this worker are not on it yet.
func (g *gates) adopt(n notices, at time.Time, own string, busy map[string]bool) {
	var events []Event
	g.mu.Lock()
	now := time.Now()
	g.alone = false
	for scope, s := range n.Scopes {
		if busy[scope] || s.Operator && s.Left == 0 {
			continue
		}
		current := g.scopes[scope]
		if current == nil || current.round != s.Round || !current.posted {
			if current == nil || current.until.Before(now) || current.until.IsZero() != (s.Left == forever) {
				events = append(events, Event{Kind: EventPaused, Scope: scope, Delay: max(0, s.Left), Probes: max(0, s.Failures-1)})
			}
			probing := current != nil && current.probing && current.posted // a probe that is under way stays one
			current = &gate{round: s.Round, posted: true, operator: s.Operator, probing: probing && s.Prober == own}
			g.scopes[scope] = current
		}
		current.failures = s.Failures
		current.until = time.Time{}
		if s.Left != forever {
			current.until = at.Add(s.Left)
		}
		current.prober, current.mine = s.Prober, s.Prober == own
		current.probeUntil = at.Add(s.ProbeLeft)
		if current.prober != "" || current.over(now) {
			current.asked = false
		}
	}
	for scope, current := range g.scopes {
		if _, there := n.Scopes[scope]; there || busy[scope] || !current.posted {
			continue
		}
		delete(g.scopes, scope)
		delete(g.strikes, scope)
		g.resumed[scope] = now
		events = append(events, Event{Kind: EventResumed, Scope: scope})
	}
	g.struck.Store(int64(len(g.strikes)))
	if len(g.scopes)+len(events) > 0 {
		g.wake()
	}
	g.mu.Unlock()
	for _, event := range events {
		g.observe(event)
	}
}

// renewals are the claims that must be renewed because this worker's probes go on.
func (g *gates) renewals() []change {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []change
	for scope, gate := range g.scopes {
		if gate.posted && gate.mine && gate.probing && time.Until(gate.probeUntil) < probeLease/2 {
			list = append(list, change{kind: claiming, scope: scope, base: gate.round})
		}
	}
	return list
}

// lose says that the others cannot be reached: until they can, this worker probes alone.
func (g *gates) lose() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.alone {
		g.alone = true
		g.wake()
	}
}
