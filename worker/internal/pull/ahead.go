package pull

import (
	"context"
	"time"
)

// A busy puller whose slots become free one by one would ask for each message by itself, which costs
// the worker and the server more than the message does. So it pulls what it will begin within
// aheadFor, by its pace of late, beyond what it has slots for. If it has to wait for slots longer
// than aheadWait, what is in hand goes back, so that another worker may send it.
const (
	aheadFor  = 20 * time.Millisecond
	aheadWait = 100 * time.Millisecond
	aheadMost = 32
	// aheadLeast is the pace from which on it is worth while.
	aheadLeast = 4
	// aheadRest is how many pulls at most take nothing ahead after what was taken had to go back.
	aheadRest = 1024
)

// Ahead is what a puller has pulled ahead. The zero value is ready to use. It must not be used
// concurrently.
type Ahead[D any] struct {
	list   []*D
	ctx    context.Context // ends when the messages have waited for long
	cancel context.CancelFunc

	since  time.Time
	begun  int  // since then
	pace   int  // how many were begun in aheadFor, when it was looked at last
	plenty bool // the latest pull brought all that was asked for
	rest   int  // pulls to come that take nothing ahead
	vain   int  // how often in a row it had to go back
}

// Len is how many messages are in hand.
func (a *Ahead[D]) Len() int { return len(a.list) }

// More is how many messages the puller pulls beyond its slots.
func (a *Ahead[D]) More(now time.Time) int {
	if took := now.Sub(a.since); took >= aheadFor {
		a.pace = int(float64(a.begun) * float64(aheadFor) / float64(took))
		a.since, a.begun = now, 0
	}
	switch {
	case !a.plenty || a.pace < aheadLeast:
		return 0
	case a.rest > 0:
		a.rest--
		return 0
	}
	return min(a.pace, aheadMost)
}

// Take takes the oldest message out; nil when there is none.
func (a *Ahead[D]) Take() *D {
	if len(a.list) == 0 {
		return nil
	}
	d := a.list[0]
	a.list[0], a.list = nil, a.list[1:]
	a.begun++
	if len(a.list) == 0 {
		a.put(nil)
		a.vain = 0
	}
	return d
}

// Put takes messages in hand, in place of those that were. plenty says that the pull brought all
// that was asked for.
func (a *Ahead[D]) Put(list []*D, plenty bool) {
	a.put(list)
	a.plenty = plenty
}

func (a *Ahead[D]) put(list []*D) {
	if a.cancel != nil {
		a.cancel()
		a.cancel = nil
	}
	a.list = list
}

// Wait returns a context for the wait for slots of the messages in hand. It ends with ctx, and when
// they have waited for long.
func (a *Ahead[D]) Wait(ctx context.Context) context.Context {
	if a.cancel == nil {
		a.ctx, a.cancel = context.WithTimeout(ctx, aheadWait)
	}
	return a.ctx
}

// GiveUp takes out all messages, to be handed back. The next pulls take nothing ahead, the more of
// them the more often that happens in a row.
func (a *Ahead[D]) GiveUp() []*D {
	list := a.list
	if len(list) == 0 {
		return nil
	}
	a.put(nil)
	a.vain++
	a.rest = min(8<<min(a.vain, 16), aheadRest)
	return list
}
