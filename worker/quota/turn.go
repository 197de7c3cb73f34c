package quota

import "slices"

// turn takes a demand in and answers what the worker may use from now on. ok is false when
// the worker's allotment is gone: others have taken it for dead.
func (b *book) turn(l limits, now moment, c demand) (granted []run, ok bool) {
	b.expire(l, now)
	own, allotted := b.Allotments[c.id]
	back := 0
	for _, n := range c.back {
		back += n
	}
	if c.renews && !allotted || back > own.Grants {
		return nil, false
	}
	for at, n := range c.back {
		b.add(l.ceil(at), n)
	}
	own.Grants -= back
	b.giveBack(l, c.unused)
	b.merge(now)
	b.trim(now, l.requests, c.id)
	own.Until, own.Want, own.Turn = now.lo+l.life, c.want, c.turn
	own.Requests, own.Per = c.requests, c.per
	b.Allotments[c.id] = own // before it is counted among those that share
	if b.Requests > l.requests {
		return nil, true // more is in use than a lower limit allows
	}

	granted = b.takeFirst(l, now, c)
	granted = append(granted, b.takeBurst(l, now, c)...)
	out := held(granted).total()
	if len(b.Allotments) > 1 {
		b.Rush.Now += out
	}
	if need := b.share(l, now, c.id) - c.kept - max(0, out-c.urgent); need > 0 {
		granted = append(granted, b.take(l, now, need)...)
	}
	for _, r := range granted {
		own.Grants += r.n
	}
	b.Allotments[c.id] = own
	return granted, true
}

// share is how many grants within the horizon are a worker's: what everybody wants, as far
// as it goes, and where it does not, equal parts to those that want more.
func (b *book) share(l limits, now moment, id string) int {
	ahead := now.hi + l.horizon - b.pace(l, now)
	left := int(max(l.horizon, ahead)/l.interval) + 1
	wants := make([]int, 0, len(b.Allotments))
	for _, allotment := range b.Allotments {
		wants = append(wants, limited(allotment.Want, left))
	}
	slices.Sort(wants)
	mine := limited(b.Allotments[id].Want, left)
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

// giveBack notes grants that were allotted and not used: so many moments of the pace may be used
// again, at most those of a horizon.
func (b *book) giveBack(l limits, unused int) {
	b.Credit = min(b.Credit+unused, int(l.horizon/l.interval))
}

// take allots up to n grants at the pace of the window: an interval apart, as soon as they
// are free, within the horizon, and not so many that REQUESTs could not have their reserve.
// The grants that are free first are left to REQUESTs.
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
	spare := b.spare(l, now, l.due)
	for n > 0 && i < len(b.Free) {
		c := &b.Free[i]
		at := max(c.at, pace+l.interval)
		if b.Credit > 0 && c.at < at {
			at = max(c.at, now.lo)
		}
		if spare--; spare < 0 {
			at = max(at, now.lo-int64(spare)*l.due)
		}
		if at > now.hi+l.horizon {
			break
		}
		if at > pace {
			pace, b.Next = at, at
		} else {
			b.Credit--
		}
		granted = appendGrant(granted, at, c.at)
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

// takeNow allots up to n grants of what is free now, unpaced.
func (b *book) takeNow(now moment, n int) []run {
	var granted []run
	for n > 0 && len(b.Free) > 0 && b.Free[0].at <= now.hi {
		c := &b.Free[0]
		k := min(n, c.n)
		granted = append(granted, run{at: c.at, n: k, free: c.at})
		n -= k
		if c.n -= k; c.n == 0 {
			b.Free = slices.Delete(b.Free, 0, 1)
		}
	}
	return granted
}

// appendGrant adds one grant to runs in order, to the last of them where it continues it.
func appendGrant(runs []run, at, free int64) []run {
	if len(runs) > 0 {
		r := &runs[len(runs)-1]
		switch {
		case r.free != free || r.stock:
		case r.n == 1 && at >= r.at:
			r.step, r.n = at-r.at, 2
			return runs
		case at == r.last()+r.step:
			r.n++
			return runs
		}
	}
	return append(runs, run{at: at, n: 1, free: free})
}
