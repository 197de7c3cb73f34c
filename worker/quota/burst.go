package quota

import (
	"math"
	"slices"
)

// SENDs may use at once what is free beyond the reserve of REQUESTs. When more of them wait
// than that serves they keep the pace of the window, for as long as any wait: then the grants
// of the burst, which are free again all at once, are spread evenly over the next window, and
// none is lost by that.

// room is how many grants a burst of one worker's SENDs may take: its part of what is free now
// beyond the reserve, and nothing while SENDs are paced.
func (b *book) room(l limits, now moment) int {
	if b.Paced.holds(now) {
		return 0
	}
	workers := max(1, len(b.Allotments))
	return max(0, b.free(now.hi)-max(l.kept, l.reserve)+workers-1) / workers
}

// takeFirst allots grants for what goes first, also at once. Those of a worker whose other
// SENDs wait are not for these.
func (b *book) takeFirst(l limits, now moment, c demand) []run {
	granted := b.takeNow(now, c.urgent)
	for i := range granted {
		granted[i].stock = c.want == wantAll
	}
	return granted
}

// lendable is how many grants may be had at once for SENDs of sources that have no backlog.
func (b *book) lendable(l limits, now moment) int {
	return max(0, min(b.free(now.hi)-l.reserve/2, b.spare(l, now, l.asked)))
}

// takeBurst allots grants to SENDs at once, out of the pace.
func (b *book) takeBurst(l limits, now moment, c demand) []run {
	if c.eager <= 0 {
		return nil
	}
	granted := b.takeNow(now, min(c.eager, c.rush, b.room(l, now)))
	beyond := b.free(now.hi) - max(l.kept, l.reserve)
	if c.waiting > held(granted).total() && (beyond <= 0 || b.Paced.holds(now)) {
		b.Paced = paced{Until: now.hi + l.horizon, Rate: b.rate(l, now)}
	}
	return granted
}

// rate is how many SENDs the pace grants in a second, from the latest grant on.
func (b *book) rate(l limits, now moment) float64 {
	from := max(b.pace(l, now), now.hi)
	next := *b
	next.Free, next.Next, next.Credit = slices.Clone(b.Free), from, 0
	length := max(2*l.turn, l.per/50)
	l.horizon = from - now.hi + length
	n := held(next.take(l, now, math.MaxInt)).total()
	return math.Round(100*float64(n)/(float64(length)/1e9)) / 100
}

// spare is how many grants may be had such that from then on one could be had every so often
// until more is free. What is allotted to workers ahead serves as well, and is not counted.
func (b *book) spare(l limits, now moment, every int64) int {
	if every == 0 {
		return math.MaxInt
	}
	spare, before := math.MaxInt, 0
	for _, c := range b.Free {
		if ahead := c.at - now.hi - l.slack; ahead > 0 {
			spare = min(spare, before-int(ahead/every))
		}
		before += c.n
	}
	return spare
}
