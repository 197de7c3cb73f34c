package quota

import "slices"

// held are the unused slots that a worker has leased.
type held []run

// first is the earliest moment at which one may be used, and where it is; −1 when there
// is none.
func (h held) first() (at int64, i int) {
	i = -1
	for j, r := range h {
		if i < 0 || r.at < at {
			at, i = r.at, j
		}
	}
	return at, i
}

// pop takes the first slot of a run out.
func (h *held) pop(i int) {
	r := &(*h)[i]
	r.at += r.step
	if r.n--; r.n == 0 {
		*h = slices.Delete(*h, i, i+1)
	}
}

// total counts the slots.
func (h held) total() int {
	n := 0
	for _, r := range h {
		n += r.n
	}
	return n
}

// usable counts the slots that may be used at a moment.
func (h held) usable(now int64) int {
	n := 0
	for _, r := range h {
		switch {
		case r.at > now:
		case r.step == 0:
			n += r.n
		default:
			n += min(r.n, int((now-r.at)/r.step)+1)
		}
	}
	return n
}

// shed takes slots out, those that may be used last first, until at most n are left, and
// notes in back when each is free for others. It answers how many it took.
func (h *held) shed(n int, l limits, back map[int64]int) int {
	surplus := max(0, h.total()-n)
	for over := surplus; over > 0; {
		last := 0
		for i, r := range *h {
			if r.last() > (*h)[last].last() {
				last = i
			}
		}
		r := &(*h)[last]
		k := 1
		if r.step == 0 {
			k = min(over, r.n)
		}
		back[l.ceil(r.last())] += k
		over -= k
		if r.n -= k; r.n == 0 {
			*h = slices.Delete(*h, last, last+1)
		}
	}
	return surplus
}
