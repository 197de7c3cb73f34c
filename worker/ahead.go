package worker

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A busy lane whose slots become free one by one would ask for each message by itself, which costs
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

// hand is what a lane has pulled ahead; its goroutine's own.
type hand struct {
	list   []*delivery
	ctx    context.Context // ends when the messages have waited for long
	cancel context.CancelFunc

	since  time.Time
	begun  int  // since then
	pace   int  // how many were begun in aheadFor, when it was looked at last
	plenty bool // the latest pull brought all that was asked for
	rest   int  // pulls to come that take nothing ahead
	vain   int  // how often in a row it had to go back
}

// ahead is how many messages the lane pulls beyond its slots.
func (h *hand) ahead(now time.Time) int {
	if took := now.Sub(h.since); took >= aheadFor {
		h.pace = int(float64(h.begun) * float64(aheadFor) / float64(took))
		h.since, h.begun = now, 0
	}
	switch {
	case !h.plenty || h.pace < aheadLeast:
		return 0
	case h.rest > 0:
		h.rest--
		return 0
	}
	return min(h.pace, aheadMost)
}

// take takes the oldest message out; nil when there is none.
func (h *hand) take() *delivery {
	if len(h.list) == 0 {
		return nil
	}
	d := h.list[0]
	h.list[0], h.list = nil, h.list[1:]
	h.begun++
	if len(h.list) == 0 {
		h.put(nil)
		h.vain = 0
	}
	return d
}

// put takes messages in hand, in place of those that were.
func (h *hand) put(list []*delivery) {
	if h.cancel != nil {
		h.cancel()
		h.cancel = nil
	}
	h.list = list
}

// wait bounds how long the messages in hand wait for slots.
func (h *hand) wait(ctx context.Context) {
	if h.cancel == nil {
		h.ctx, h.cancel = context.WithTimeout(ctx, aheadWait)
	}
}

// lookUp asks once whether the ledger has anything about messages of a source that were stored
// before their consumer was made, as all of a backlog are. Each would be looked up otherwise.
func (w *Worker) lookUp(l *lane, list []*delivery) {
	old := list[:0:0]
	for _, d := range list {
		if d.older && d.delivered <= 1 {
			old = append(old, d)
		}
	}
	if len(old) < 2 {
		return
	}
	_, err := w.firstOf(l.ctx, w.noteSubject, w.ledger.Subjects(l.source))
	for _, d := range old {
		d.unnoted = errors.Is(err, errNoHead)
	}
}

// putBack gives what is in hand to other workers.
func (w *Worker) putBack(l *lane) {
	list := l.hand.list
	if len(list) == 0 {
		return
	}
	l.hand.put(nil)
	l.hand.vain++
	l.hand.rest = min(8<<min(l.hand.vain, 16), aheadRest)
	var all sync.WaitGroup
	for _, d := range list {
		all.Go(func() { w.refuse(d, 0) })
	}
	all.Wait()
}
