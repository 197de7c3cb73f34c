package quota

import "slices"

// run is a number of slots that may be used from at on, the next from at+step on, and so
// forth.
type run struct {
	at, step int64
	n        int
}

func (r run) last() int64 { return r.at + int64(r.n-1)*r.step }

// claim is what a worker brings to the book.
type claim struct {
	id   string
	turn uint64
	// renews says that the worker had a lease at its last turn.
	renews bool
	// back are slots that were used or are not wanted any more, by when they are free.
	back map[int64]int
	// unused is how many of them were not used: their moments are free for others as well.
	unused int
	// kept is how many unused slots the worker still has.
	kept int
	// want is how many it could use within the horizon, with those it kept; −1: any number.
	want int
	// urgent is how many REQUESTs wait that the kept slots do not serve now.
	urgent int
	// requests and per are the worker's own settings.
	requests int
	per      int64
}

// turn takes a claim in and answers what the worker may use from now on. ok is false when
// the worker's lease is gone: others have taken it for dead.
func (b *book) turn(l limits, now moment, c claim) (granted []run, ok bool) {
	b.expire(l, now)
	own, leased := b.Leases[c.id]
	back := 0
	for _, n := range c.back {
		back += n
	}
	if c.renews && !leased || back > own.Slots {
		return nil, false
	}
	for at, n := range c.back {
		b.add(l.ceil(at), n)
	}
	own.Slots -= back
	b.Credit += c.unused
	b.merge(now)
	own.Until, own.Want, own.Turn = now.lo+l.life, c.want, c.turn
	own.Requests, own.Per = c.requests, c.per
	b.Leases[c.id] = own // before it is counted among those that share

	granted = b.takeUrgent(l, now, c.urgent)
	if len(b.Leases) > 1 {
		b.Rush.Now += held(granted).total()
	}
	if need := b.share(l, now, c.id) - c.kept; need > 0 {
		granted = append(granted, b.take(l, now, need)...)
	}
	for _, r := range granted {
		own.Slots += r.n
	}
	b.Leases[c.id] = own
	return granted, true
}

// share is how many slots within the horizon are a worker's: what everybody wants, as far
// as it goes, and where it does not, equal parts to those that want more.
func (b *book) share(l limits, now moment, id string) int {
	ahead := now.hi + l.horizon - b.pace(l, now)
	left := int(max(l.horizon, ahead)/l.interval) + 1
	wants := make([]int, 0, len(b.Leases))
	for _, lease := range b.Leases {
		wants = append(wants, limited(lease.Want, left))
	}
	slices.Sort(wants)
	mine := limited(b.Leases[id].Want, left)
	for i, want := range wants {
		part := (left + len(wants) - i - 1) / (len(wants) - i) // rounded up
		if mine <= want || part < want {
			return min(mine, part)
		}
		left -= want
	}
	return mine
}

func limited(want, most int) int {
	if want == wantAll {
		return most
	}
	return min(want, most)
}

// pace is the moment of the latest paced grant; one so long ago that idleness since has
// saved up a full burst counts as just so long ago.
func (b *book) pace(l limits, now moment) int64 {
	return max(b.Next, now.hi-int64(l.burst)*l.interval)
}

// take leases up to n slots at the pace of the window: an interval apart, as soon as they
// are free, within the horizon. The slots that are free first are left to REQUESTs.
func (b *book) take(l limits, now moment, n int) []run {
	var granted []run
	skip, i := l.reserve, 0
	for i < len(b.Free) && b.Free[i].n <= skip {
		skip -= b.Free[i].n
		i++
	}
	pace := b.pace(l, now)
	if pace > b.Next { // a long rest: the burst that it saved up is enough
		b.Credit = 0
	}
	b.Credit = min(b.Credit, int(l.horizon/l.interval))
	for n > 0 && i < len(b.Free) {
		c := &b.Free[i]
		at := max(c.at, pace+l.interval)
		if b.Credit > 0 && c.at < at {
			at = max(c.at, now.lo)
		}
		if at > now.hi+l.horizon {
			break
		}
		if at > pace {
			pace, b.Next = at, at
		} else {
			b.Credit--
		}
		granted = appendSlot(granted, at)
		n--
		c.n--
		if c.n == skip {
			skip = 0
			i++
		}
	}
	b.Free = slices.DeleteFunc(b.Free, func(c cell) bool { return c.n == 0 })
	return granted
}

// takeUrgent leases up to n slots for REQUESTs that wait: whatever is free now, unpaced.
func (b *book) takeUrgent(l limits, now moment, n int) []run {
	var granted []run
	for n > 0 && len(b.Free) > 0 && b.Free[0].at <= now.hi {
		c := &b.Free[0]
		k := min(n, c.n)
		granted = append(granted, run{at: c.at, n: k})
		n -= k
		if c.n -= k; c.n == 0 {
			b.Free = slices.Delete(b.Free, 0, 1)
		}
	}
	return granted
}

// appendSlot adds one slot to runs in order, to the last of them where it continues it.
func appendSlot(runs []run, at int64) []run {
	if len(runs) > 0 {
		r := &runs[len(runs)-1]
		switch {
		case r.n == 1 && at >= r.at:
			r.step, r.n = at-r.at, 2
			return runs
		case at == r.last()+r.step:
			r.n++
			return runs
		}
	}
	return append(runs, run{at: at, n: 1})
}
