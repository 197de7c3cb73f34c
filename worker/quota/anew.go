package quota

import (
	"maps"
	"slices"
)

// A book that is lost, damaged or cannot be written any more is not the end of sending. Each
// worker remembers the book as it last wrote it, and has a part in it: its own lease, and of
// the slots that were free as much as any other worker. The parts of all are never more than
// the limit, so each may go on with its own while there is no book to share. Whoever finds
// the place of the book empty or damaged makes it anew: its own part as it is, and all else
// as if it had just been used. The others put their parts in the place of that.

// part is what a worker may go on with when the book is lost.
func (b *book) part(l limits, now moment, id string) *book {
	own := b.Leases[id]
	own.Until = now.lo + l.life // nobody else can have it
	p := &book{Requests: own.Slots, Per: b.Per, Next: b.Next, Leases: map[string]lease{id: own}}
	workers := max(1, len(b.Leases))
	most, taken := b.Requests/workers, 0
	if workers > 1 {
		taken = int((l.turn + l.horizon) / l.interval) // by the others since, of what was free
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
	return p
}

// anew is a book in place of a lost one, of which b is what was last known: it has the part
// of the worker that makes it, and all else counts as used until now.
func (b *book) anew(l limits, now moment, p *book, id string) *book {
	n := &book{Requests: b.Requests, Per: b.Per, Next: b.Next, Unknown: l.unknown(now), Free: slices.Clone(p.Free), Leases: maps.Clone(p.Leases)}
	rest := n.Requests - p.Requests
	for other, lease := range b.Leases {
		// One that is over may have been used since, by a worker that went on alone.
		if other == id || lease.Until < now.lo || lease.Slots > rest {
			continue
		}
		lease.Until = now.lo + l.life // time to put its part in
		n.Leases[other] = lease
		rest -= lease.Slots
	}
	n.add(n.Unknown, rest)
	return n
}

// unknown is when slots are free that somebody may have used until now. No other moment of
// freedom is the same: those are whole grains.
func (l limits) unknown(now moment) int64 { return l.freeFrom(now.hi+l.margin) + millisecond }

// blank is a book of which nothing is known but that it was used.
func blank(l limits, now moment) *book {
	b := newBook(l, 0)
	b.Unknown = l.unknown(now)
	b.Free = []cell{{b.Unknown, l.requests}}
	return b
}

// join puts a worker's part into a book that another has made anew, in the place of slots
// whose use is not known. It reports whether there were enough of them for its lease.
func (b *book) join(p *book, id string) bool {
	b.disown(id)
	i := slices.IndexFunc(b.Free, func(c cell) bool { return c.at == b.Unknown })
	own := p.Leases[id]
	if i < 0 || b.Free[i].n < own.Slots {
		return false
	}
	room := min(b.Free[i].n, p.Requests)
	b.Free[i].n -= room
	if b.Free[i].n == 0 {
		b.Free = slices.Delete(b.Free, i, i+1)
	}
	b.Leases[id] = own
	room -= own.Slots
	for _, c := range p.Free {
		n := min(c.n, room)
		b.add(c.at, n)
		room -= n
	}
	return true
}

// disown has the slots of a lease count among those whose use is not known.
func (b *book) disown(id string) {
	b.add(b.Unknown, b.Leases[id].Slots)
	delete(b.Leases, id)
}

// plausible reports whether no moment of the book is further ahead than any worker can have
// written: a server whose clock was set back, or a damaged book, would stop all for as long.
func (b *book) plausible(l limits, now moment) bool {
	latest := now.hi + 2*l.window + 2*l.margin + 2*l.life
	if b.Next > latest || len(b.Free) > 0 && b.Free[len(b.Free)-1].at > latest {
		return false
	}
	for _, lease := range b.Leases {
		if lease.Until > latest {
			return false
		}
	}
	return true
}
