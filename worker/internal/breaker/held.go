package breaker

import (
	"math/rand/v2"
	"time"
)

// Messages to a destination that an operator has paused are pulled with the others of their source,
// and handed back until later: nothing else waits for them. They come again to find out whether the
// pause is over. However many they are, they come evenly, and no more often than a worker barely
// feels.
const (
	// heldFor is how long one waits at most while they are few, and heldMost however many they are.
	heldFor, heldMost = 30 * time.Second, 5 * time.Minute
	// heldApart is the time between two that come again.
	heldApart = 10 * time.Millisecond
)

// held are the pauses of destinations by operators, and what was handed back because of them.
type held struct {
	pauses int       // how many there are
	last   time.Time // when the last one handed back comes again
}

// next is how long one more waits, of a pause that lasts for left; less than 0: until it is ended.
func (h *held) next(left time.Duration, now time.Time) time.Duration {
	soonest := now.Add(heldFor*2/3 + rand.N(heldFor/3))
	if h.last = h.last.Add(heldApart); h.last.Before(soonest) {
		h.last = soonest
	}
	wait := h.last.Sub(now)
	if wait > heldMost {
		h.last, wait = now.Add(heldMost), heldMost/2+rand.N(heldMost/2)
	}
	if left >= 0 {
		wait = min(wait, left)
	}
	return max(wait, time.Second)
}

// byHand reports whether an operator has paused the destination of a message with these scopes, of its
// source or of all, and for how long; less than 0: until it is ended. The caller holds the mutex.
func (b *Breaker) byHand(own []string, now time.Time) (left time.Duration, is bool) {
	if b.held.pauses == 0 {
		return 0, false
	}
	for _, scope := range own {
		if !isDest(scope) {
			continue
		}
		id := idOf(scope)
		for _, name := range [...]string{OperatorScope(ofSource(scope), id), OperatorScope("", id)} {
			p := b.scopes[name]
			switch {
			case p == nil || p.over(now):
			case p.until.IsZero():
				return -1, true
			default:
				left, is = max(left, p.until.Sub(now)), true
			}
		}
	}
	return left, is
}

// countHeld counts the pauses of destinations by operators.
func (b *Breaker) countHeld() {
	b.held.pauses = 0
	for scope := range b.scopes {
		if holdsDestination(scope) {
			b.held.pauses++
		}
	}
}
