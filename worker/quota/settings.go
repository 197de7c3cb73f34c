package quota

// Workers of one group may be configured differently, as during a change of the
// configuration. What is stricter holds until the last worker that says so has left.

// strictest are the limits that all workers with an allotment agree to, and those of l.
func (b *book) strictest(l limits) (requests int, per int64) {
	requests, per = l.requests, l.per
	for _, allotment := range b.Allotments {
		if allotment.Requests > 0 {
			requests = min(requests, allotment.Requests)
		}
		per = max(per, allotment.Per)
	}
	return requests, per
}

// adapt changes the book to other limits; l are those of before. Grants that are to go and
// are allotted go when they come back.
func (b *book) adapt(l limits, now moment, requests int, per int64) {
	if per > b.Per { // what was free one shorter window after its use is so one longer after
		longer := l.ceil(per + per/1000 - b.Per - b.Per/1000)
		for i := range b.Free {
			b.Free[i].at += longer
		}
		b.Unknown += longer
		b.Gone += longer
	}
	b.Per = per
	if more := requests - b.Requests; more > 0 {
		at := b.Gone // they may be those that a lower limit took away within this window
		if len(b.Free) > 0 {
			at = max(at, b.Free[0].at)
		}
		b.add(at, more)
		b.Requests = requests
		return
	}
	b.trim(now, requests, "")
}

// trim takes grants away that are more than the limit. Those that have been free for longest
// go: the others stand for requests that are in the window still. What others than the worker
// id have been allotted they may not have used: it comes before what was.
func (b *book) trim(now moment, requests int, id string) {
	allotted := -b.Allotments[id].Grants
	for _, allotment := range b.Allotments {
		allotted += allotment.Grants
	}
	for len(b.Free) > 0 {
		first, over := &b.Free[0], b.Requests-requests
		if first.at > now.hi {
			over -= allotted
		}
		n := min(first.n, over)
		if n <= 0 {
			return
		}
		first.n -= n
		b.Requests -= n
		b.Gone = max(b.Gone, first.at)
		if first.n == 0 {
			b.Free = b.Free[1:]
		}
	}
}
