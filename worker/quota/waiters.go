package quota

import "slices"

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
}

// waiters are served by class, within a class one source after the other, within a source
// first come first served. The zero value is empty.
type waiters struct {
	queues [classes]map[string][]*waiter
	turn   [classes][]string // sources with waiters, next first
	counts [classes]int
}

func (w *waiters) push(x *waiter) {
	if w.queues[x.class] == nil {
		w.queues[x.class] = make(map[string][]*waiter)
	}
	queue := w.queues[x.class][x.source]
	if len(queue) == 0 {
		w.turn[x.class] = append(w.turn[x.class], x.source)
	}
	w.queues[x.class][x.source] = append(queue, x)
	w.counts[x.class]++
}

// pop takes the next waiter out; nil when nobody waits.
func (w *waiters) pop() *waiter {
	for c := range classes {
		if len(w.turn[c]) == 0 {
			continue
		}
		source := w.turn[c][0]
		queue := w.queues[c][source]
		w.turn[c] = w.turn[c][1:]
		w.counts[c]--
		if len(queue) > 1 {
			w.queues[c][source] = queue[1:]
			w.turn[c] = append(w.turn[c], source)
		} else {
			delete(w.queues[c], source)
		}
		return queue[0]
	}
	return nil
}

// leave takes a waiter out that does not wait any longer; false means that it had been
// served.
func (w *waiters) leave(x *waiter) bool {
	queue := w.queues[x.class][x.source]
	i := slices.Index(queue, x)
	if i < 0 {
		return false
	}
	w.counts[x.class]--
	if queue = slices.Delete(queue, i, i+1); len(queue) > 0 {
		w.queues[x.class][x.source] = queue
		return true
	}
	delete(w.queues[x.class], x.source)
	w.turn[x.class] = slices.DeleteFunc(w.turn[x.class], func(s string) bool { return s == x.source })
	return true
}

// any reports whether somebody of the class or one before it waits.
func (w *waiters) any(upTo class) bool {
	for c := class(0); c <= upTo; c++ {
		if w.counts[c] > 0 {
			return true
		}
	}
	return false
}
