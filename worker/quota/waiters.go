package quota

import (
	"container/list"
	"slices"
	"time"
)

// class orders the waiting: all of a class go before the next.
type class int

const (
	classToken   class = iota // token calls and resends: without them nothing else gets anywhere
	classRequest              // somebody waits for the answer
	classSend
	classes
)

var classNames = [classes]string{"token", "request", "send"}

// waiter waits for a grant.
type waiter struct {
	class  class
	source string
	ready  chan struct{} // closed when it has one
	done   func(bool)    // ends its request, once it has one
	flow   *flow
	place  *list.Element // in its flow; nil when it waits no longer
}

// flow is what waits of one source in one class, first come first served.
type flow struct {
	source  string
	waiting list.List
	served  time.Time // last
}

// queue is what waits of one class. Sources take turns. One that has just come goes before
// those that have had a turn since they came, as in FQ-CoDel: however many have a backlog, a
// message of a source that has none waits for hardly more than the next grant. A source that
// was served stays in the round until its next turn, even if nothing of it waits meanwhile, so
// that coming again brings it nothing before a round could have passed.
type queue struct {
	flows   map[string]*flow
	fresh   []*flow // not served yet
	round   []*flow // served before, next first
	failing []*flow // over their budget when their turn came
	count   int
}

func (q *queue) push(x *waiter, interval time.Duration) {
	f := q.flows[x.source]
	if f == nil || f.rested(time.Duration(len(q.flows))*interval) {
		if q.flows == nil {
			q.flows = make(map[string]*flow)
		}
		f = &flow{source: x.source}
		q.flows[x.source] = f
		q.fresh = append(q.fresh, f)
	}
	x.flow, x.place = f, f.waiting.PushBack(x)
	q.count++
}

// rested reports whether nothing of a source was waiting for the time of a round.
func (f *flow) rested(round time.Duration) bool {
	return round > 0 && f.waiting.Len() == 0 && !f.served.IsZero() && time.Since(f.served) >= round
}

// forget takes a source out of which nothing waits.
func (q *queue) forget(f *flow) {
	if q.flows[f.source] == f {
		delete(q.flows, f.source)
	}
}

// leave takes a waiter out; false means that it had been served.
func (q *queue) leave(x *waiter) bool {
	if x.place == nil {
		return false
	}
	x.flow.waiting.Remove(x.place)
	x.place = nil
	q.count--
	return true
}

// pop takes the next waiter out; nil when none waits whose source is within its budget.
func (q *queue) pop(over func(source string) bool) *waiter {
	if i := slices.IndexFunc(q.failing, func(f *flow) bool { return !over(f.source) }); i >= 0 {
		q.round = append(q.round, q.failing[i])
		q.failing = slices.Delete(q.failing, i, i+1)
	}
	return q.next(over, q.first)
}

// popFresh is pop for the sources that have just come.
func (q *queue) popFresh(over func(source string) bool) *waiter {
	return q.next(over, func() *flow { return head(&q.fresh) })
}

// next takes the first waiter of the next source out that is within its budget.
func (q *queue) next(over func(source string) bool, first func() *flow) *waiter {
	for {
		f := first()
		switch {
		case f == nil:
			return nil
		case f.waiting.Len() == 0:
			q.forget(f)
		case over(f.source):
			q.failing = append(q.failing, f)
		default:
			return q.serve(f)
		}
	}
}

// popFailing takes the next waiter out of a source that is over its budget.
func (q *queue) popFailing() *waiter {
	for f := head(&q.failing); f != nil; f = head(&q.failing) {
		if f.waiting.Len() > 0 {
			return q.serve(f)
		}
		q.forget(f)
	}
	return nil
}

// first takes the source out whose turn is next.
func (q *queue) first() *flow {
	if f := head(&q.fresh); f != nil {
		return f
	}
	return head(&q.round)
}

// head takes the first of a list out; nil when there is none.
func head(list *[]*flow) *flow {
	if len(*list) == 0 {
		return nil
	}
	f := (*list)[0]
	*list = (*list)[1:]
	return f
}

// serve takes the first waiter of a source out, which then goes to the end of the round.
func (q *queue) serve(f *flow) *waiter {
	x := f.waiting.Remove(f.waiting.Front()).(*waiter)
	x.place, f.served = nil, time.Now()
	q.round = append(q.round, f)
	q.count--
	return x
}

// waiters are served by class, within a class one source after the other. Sources over their
// budget are served while no other waits. The zero value is empty.
type waiters struct {
	queues   [classes]queue
	budget   budget
	interval time.Duration // between two grants
}

func (w *waiters) push(x *waiter) { w.queues[x.class].push(x, w.interval) }

// pop takes the next waiter out; nil when nobody waits.
func (w *waiters) pop() *waiter {
	for c := range classes {
		if x := w.queues[c].pop(w.budget.over); x != nil {
			return x
		}
	}
	for c := range classes {
		if x := w.queues[c].popFailing(); x != nil {
			return x
		}
	}
	return nil
}

// popFirst takes the next waiter out of those that go first: token calls, REQUESTs, and SENDs
// of sources that have just come.
func (w *waiters) popFirst() *waiter {
	for c := range classSend {
		if x := w.queues[c].pop(w.budget.over); x != nil {
			return x
		}
	}
	return w.queues[classSend].popFresh(w.budget.over)
}

// urgent counts those that go first: token calls and REQUESTs, and sources that have just come
// with a SEND.
func (w *waiters) urgent() (asked, fresh int) {
	return w.queues[classToken].count + w.queues[classRequest].count, len(w.queues[classSend].fresh)
}

// leave takes a waiter out that does not wait any longer; false means that it had been
// served.
func (w *waiters) leave(x *waiter) bool { return w.queues[x.class].leave(x) }

// count is how many of a class wait.
func (w *waiters) count(c class) int { return w.queues[c].count }

// any reports whether somebody of the class or one before it waits.
func (w *waiters) any(upTo class) bool {
	for c := class(0); c <= upTo; c++ {
		if w.queues[c].count > 0 {
			return true
		}
	}
	return false
}
