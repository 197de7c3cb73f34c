package breaker

import (
	"maps"
	"math/rand/v2"
	"time"
)

// Messages to a destination that an operator has paused are pulled with the others of their source,
// and handed back until later: nothing else waits for them. They come again to find out whether the
// pause is over. However many they are, they come evenly, and no more often than a worker barely
// feels. Sources share that: what few messages one has come as soon as if another had no thousands.
const (
	// heldFor is how long one waits at most while they are few, and heldMost however many they are.
	heldFor, heldMost = 30 * time.Second, 5 * time.Minute
	// heldApart is the time between two that come again, of all sources together.
	heldApart = 10 * time.Millisecond
)

// held are the pauses of destinations by operators, and what was handed back because of them.
type held struct {
	pauses int                  // how many there are
	last   map[string]time.Time // source → when the last one of it that was handed back comes again
}

// next is how long one more of a source waits, of a pause that lasts for left; less than 0: until it is ended.
func (h *held) next(source string, left time.Duration, now time.Time) time.Duration {
	apart := heldApart * time.Duration(max(1, len(h.last))) // of one source
	first := max(heldFor, apart)
	soonest, last := now.Add(first*2/3+rand.N(first/3)), h.last[source].Add(apart)
	if last.Before(soonest) {
		last = soonest
	}
	wait := last.Sub(now)
	if wait > heldMost {
		last, wait = now.Add(heldMost), heldMost/2+rand.N(heldMost/2)
	}
	h.last[source] = last
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

// countHeld counts the pauses of destinations by operators, and forgets what has come again.
func (b *Breaker) countHeld(now time.Time) {
	maps.DeleteFunc(b.held.last, func(_ string, last time.Time) bool { return last.Before(now) })
	b.held.pauses = 0
	for scope := range b.scopes {
		if holdsDestination(scope) {
			b.held.pauses++
		}
	}
}
