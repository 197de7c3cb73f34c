package quota

import (
	"maps"
	"slices"
)

// A book that is lost, damaged or cannot be written any more is not the end of sending. Each
// worker remembers the book as it last wrote it, and has a part in it: its own allotment, and of
// the grants that were free as much as any other worker: what the others may have taken since,
// one window later. The parts of all are never more than the limit, so each may go on with its own while
// there is no book to share. Whoever finds the place of the book empty or damaged makes it
// anew: its own part as it is, and all else as if it had just been used. The others put their
// parts in the place of that.

// part is what a worker may go on with when the book is lost. Of one that not all others know
// of it is the allotment alone: they count on what is free without it.
func (b *book) part(l limits, now moment, id string, known bool) *book {
	own := b.Allotments[id]
	own.Until = now.lo + l.life // nobody else can have it
	p := &book{Requests: own.Grants, Per: b.Per, Next: b.Next, Gone: b.Gone, Allotments: map[string]allotment{id: own}}
	if !known {
		return p
	}
	workers := max(1, len(b.Allotments))
	most := b.Requests / workers
	taken := l.paced() + b.Credit // by others since, who may have come since
	if workers > 1 {
		taken += (3*b.free(now.hi) + 3) / 4 // see allowance
	}
	seen, given := 0, 0
	for _, c := range b.Free {
		n := c.n
		if c.at <= now.hi+l.horizon {
			k := min(n, taken)
			n, taken = n-k, taken-k
		}
		seen += n
		k := min(seen/workers-given, most-p.Requests)
		if k <= 0 {
			continue
		}
		given += k
		p.Requests += k
		p.add(c.at, k)
	}
	if rest := most - p.Requests; rest > 0 { // by then nobody uses what was allotted
		p.Requests += rest
		p.add(l.freeFrom(now.hi+l.life+l.margin), rest)
	}
	return p
}

// paced is how many grants all workers together can take between two turns of another one, at
// the pace of the window.
func (l limits) paced() int {
	return int((l.turn+l.horizon)/l.interval) + 1 + l.burst
}

// allowance is how many grants a worker may take out of the pace, for REQUESTs that wait: never
// more in the life of an allotment, by all workers, than three of four that another one saw free
// when it had its last turn. known says that all others know of the worker.
func (b *book) allowance(l limits, now moment, id string, known bool) int {
	free, workers := b.free(now.hi), len(b.Allotments)
	if _, held := b.Allotments[id]; !held {
		workers++
	}
	switch {
	case workers == 1:
		return free
	case !known:
		return 0
	}
	b.Rush.age(l, now)
	return max(0, (3*free-b.Rush.Now-b.Rush.Before)/4)
}

// acquaintance tells whether all others know of a worker.
type acquaintance struct {
	known bool
	seen  map[string]uint64 // the others' turns when it came; nil before
}

// wrote takes in a book that the worker has written.
func (a *acquaintance) wrote(b *book, id string) {
	if a.known {
		return
	}
	if a.seen == nil {
		a.seen = make(map[string]uint64, len(b.Allotments))
		for other, allotment := range b.Allotments {
			if other != id {
				a.seen[other] = allotment.Turn
			}
		}
	}
	for other, turn := range a.seen {
		if allotment, there := b.Allotments[other]; there && allotment.Turn == turn {
			return
		}
	}
	a.known, a.seen = true, nil
}

// anew is a book in place of a lost one, of which b is what was last known: it has the part
// of the worker that makes it, and all else counts as used until now.
func (b *book) anew(l limits, now moment, p *book, id string) *book {
	n := &book{Requests: b.Requests, Per: b.Per, Next: b.Next, Gone: max(b.Gone, p.Gone), Unknown: l.unknown(now), Free: slices.Clone(p.Free), Allotments: maps.Clone(p.Allotments)}
	rest := n.Requests - p.Requests
	for other, allotment := range b.Allotments {
		// One that is over may have been used since, by a worker that went on alone.
		if other == id || allotment.Until < now.lo || allotment.Grants > rest {
			continue
		}
		allotment.Until = now.lo + l.life // time to put its part in
		n.Allotments[other] = allotment
		rest -= allotment.Grants
	}
	n.add(n.Unknown, rest)
	return n
}

// unknown is when grants are free that somebody may have used until now. No other moment of
// freedom is the same: those are whole grains.
func (l limits) unknown(now moment) int64 { return l.freeFrom(now.hi+l.margin) + millisecond }

// blank is a book of which nothing is known but that it was used.
func blank(l limits, now moment) *book {
	b := newBook(l, 0)
	b.Unknown = l.unknown(now)
	b.Free = []cell{{b.Unknown, l.requests}}
	return b
}

// join puts a worker's part into a book that another has made anew, in the place of grants
// whose use is not known. It reports whether there were enough of them for its allotment.
func (b *book) join(p *book, id string) bool {
	b.disown(id)
	i := slices.IndexFunc(b.Free, func(c cell) bool { return c.at == b.Unknown })
	own := p.Allotments[id]
	if i < 0 || b.Free[i].n < own.Grants {
		return false
	}
	room := min(b.Free[i].n, p.Requests)
	b.Free[i].n -= room
	if b.Free[i].n == 0 {
		b.Free = slices.Delete(b.Free, i, i+1)
	}
	b.Allotments[id] = own
	room -= own.Grants
	for _, c := range p.Free {
		n := min(c.n, room)
		b.add(c.at, n)
		room -= n
	}
	return true
}

// disown has the grants of an allotment count among those whose use is not known.
func (b *book) disown(id string) {
	b.add(b.Unknown, b.Allotments[id].Grants)
	delete(b.Allotments, id)
}

// plausible reports whether no moment of the book is further ahead than any worker can have
// written: a server whose clock was set back, or a damaged book, would stop all for as long.
func (b *book) plausible(l limits, now moment) bool {
	latest := now.hi + 2*l.window + 2*l.margin + 2*l.life
	if max(b.Next, b.Paced.Until, b.Gone) > latest || len(b.Free) > 0 && b.Free[len(b.Free)-1].at > latest {
		return false
	}
	for _, allotment := range b.Allotments {
		if allotment.Until > latest {
			return false
		}
	}
	return true
}
