package quota

import (
	"container/list"
	"slices"
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

// waiter waits for a slot.
type waiter struct {
	class  class
	source string
	ready  chan struct{} // closed when it has one
	tenure *tenure       // to which the slot belongs, once it has one
	flow   *flow
	place  *list.Element // in its flow; nil when it waits no longer
}

// flow is what waits of one source in one class, first come first served.
type flow struct {
	source  string
	waiting list.List
}

// queue is what waits of one class. Sources take turns. One that has just come goes before
// those that have had a turn since they came, as in FQ-CoDel: however many have a backlog, a
// message of a source that has none waits for hardly more than the next slot. A source that
// was served stays in the round until its next turn, even if nothing of it waits meanwhile, so
// that coming again brings it nothing.
type queue struct {
	flows   map[string]*flow
	fresh   []*flow // not served yet
	round   []*flow // served before, next first
	failing []*flow // over their budget when their turn came
	count   int
}

func (q *queue) push(x *waiter) {
	f := q.flows[x.source]
	if f == nil {
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

// leave takes a waiter out; false means that it had been served.
func (q *queue) leave(x *waiter) bool {
	if x.place == nil {
		return false
	}
	x.flow.waiting.Remove(x.place)
	x.place = nil
	q.count--
	q.rest()
	return true
}

// rest forgets the round when nobody waits any longer.
func (q *queue) rest() {
	if q.count == 0 {
		*q = queue{}
	}
}

// pop takes the next waiter out; nil when none waits whose source is within its budget.
func (q *queue) pop(over func(source string) bool) *waiter {
	if i := slices.IndexFunc(q.failing, func(f *flow) bool { return !over(f.source) }); i >= 0 {
		q.round = append(q.round, q.failing[i])
		q.failing = slices.Delete(q.failing, i, i+1)
	}
	for {
		f := q.first()
		switch {
		case f == nil:
			return nil
		case f.waiting.Len() == 0:
			delete(q.flows, f.source)
		case over(f.source):
			q.failing = append(q.failing, f)
		default:
			return q.serve(f)
		}
	}
}

// popFailing takes the next waiter out of a source that is over its budget.
func (q *queue) popFailing() *waiter {
	for len(q.failing) > 0 {
		f := q.failing[0]
		q.failing = q.failing[1:]
		if f.waiting.Len() > 0 {
			return q.serve(f)
		}
		delete(q.flows, f.source)
	}
	return nil
}

// first takes the source out whose turn is next.
func (q *queue) first() *flow {
	from := &q.fresh
	if len(q.fresh) == 0 {
		from = &q.round
	}
	if len(*from) == 0 {
		return nil
	}
	f := (*from)[0]
	*from = (*from)[1:]
	return f
}

// serve takes the first waiter of a source out, which then goes to the end of the round.
func (q *queue) serve(f *flow) *waiter {
	x := f.waiting.Remove(f.waiting.Front()).(*waiter)
	x.place = nil
	q.round = append(q.round, f)
	q.count--
	q.rest()
	return x
}

// waiters are served by class, within a class one source after the other. Sources over their
// budget are served while no other waits. The zero value is empty.
type waiters struct {
	queues [classes]queue
	budget budget
}

func (w *waiters) push(x *waiter) { w.queues[x.class].push(x) }

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
