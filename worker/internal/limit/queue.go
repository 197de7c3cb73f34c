package limit

import "container/heap"

// unitQueue holds units that wait: first the one with the fewest slots, of those with as many
// one of REQUESTs, of those the one that was served least recently.
type unitQueue []*unit

// put puts a unit in its place.
func (q *unitQueue) put(u *unit) {
	if u.index < 0 {
		heap.Push(q, u)
		return
	}
	heap.Fix(q, u.index)
}

func (q *unitQueue) remove(u *unit) {
	heap.Remove(q, u.index)
	u.index = -1
}

// Len is part of [heap.Interface], as are the others.
func (q unitQueue) Len() int { return len(q) }

func (q unitQueue) Less(i, j int) bool {
	a, b := q[i], q[j]
	switch {
	case a.held != b.held:
		return a.held < b.held
	case a.class != b.class:
		return a.class == Request
	}
	return a.turn < b.turn
}

func (q unitQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push appends a unit.
func (q *unitQueue) Push(x any) {
	u := x.(*unit)
	u.index = len(*q)
	*q = append(*q, u)
}

// Pop takes the last one off.
func (q *unitQueue) Pop() any {
	last := len(*q) - 1
	u := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return u
}
