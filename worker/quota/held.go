package quota

import "slices"

// held are the unused grants that are allotted to a worker.
type held []run

// first is the earliest moment at which one may be used, and where it is; −1 when there
// is none.
func (h held) first(goesFirst bool) (at int64, i int) {
	i = -1
	for j, r := range h {
		if r.stock && !goesFirst {
			continue
		}
		from := r.at
		if goesFirst {
			from = r.free
		}
		if i < 0 || from < at {
			at, i = from, j
		}
	}
	return at, i
}

// pop takes the first grant of a run out.
func (h *held) pop(i int) {
	r := &(*h)[i]
	r.at += r.step
	if r.n--; r.n == 0 {
		*h = slices.Delete(*h, i, i+1)
	}
}

// put adds one grant that came back unused: if it may be used by now, to others that may since much
// the same moment, so that there are not as many runs as grants.
func (h *held) put(grant run, now, grain int64) {
	for i := range *h {
		r := &(*h)[i]
		switch {
		case grant.stock || r.stock, r.step != 0, grant.at > now || r.at > now:
		case max(grant.at-r.at, r.at-grant.at) < grain:
			r.at, r.free, r.n = max(r.at, grant.at), max(r.free, grant.free), r.n+1
			return
		}
	}
	*h = append(*h, grant)
}

// total counts the grants.
func (h held) total() int {
	n := 0
	for _, r := range h {
		n += r.n
	}
	return n
}

// usable counts the grants that may be used at a moment.
func (h held) usable(now int64, goesFirst bool) int {
	n := 0
	for _, r := range h {
		switch {
		case goesFirst && r.free <= now, !r.stock && r.at <= now && r.step == 0:
			n += r.n
		case goesFirst || r.stock || r.at > now:
		default:
			n += min(r.n, int((now-r.at)/r.step)+1)
		}
	}
	return n
}

// lengthen has all be free so much later: whatever they were used for before was under a
// shorter window.
func (h held) lengthen(by int64) {
	for i := range h {
		h[i].at += by
		h[i].free += by
	}
}

// stock counts the grants for what goes first.
func (h held) stock() int {
	n := 0
	for _, r := range h {
		if r.stock {
			n += r.n
		}
	}
	return n
}

// release lets SENDs use what is more than so many grants of the stock.
func (h *held) release(keep int) {
	for i := range *h {
		r := &(*h)[i]
		switch {
		case !r.stock:
		case r.n <= keep:
			keep -= r.n
		case keep == 0:
			r.stock = false
		default: // at one moment all: stock is not paced
			more := *r
			more.n, more.stock, r.n, keep = r.n-keep, false, keep, 0
			*h = append(*h, more)
		}
	}
}

// shed takes grants out, those that may be used last first, until at most n are left, and
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
