package limit

import "time"

// control finds how many requests may be in flight, from least to most, which it begins with.
// It watches how long the answers take: when the median is well over what it is without a
// queue, there are too many in flight; while it is not and there are waiting, there may be
// more. When the far side says that it has too much, there are too many at once.
//
// What an answer takes without a queue shows at the start, when there is none yet: if the
// quickest took about as long as the median, that is it. Otherwise, and once a minute while
// there is more to send, because it may change, it is looked for with fewer in
// flight, and fewer still, until that makes no difference.
//
// Answers within adaptiveQuick are quick enough whatever they took before.
type control struct {
	most, least int
	limit       float64
	base        time.Duration // what an answer takes without a queue; 0: not known
	look        look
	next        time.Time // when to look for base again
}

const (
	adaptiveSlack = 20 * time.Millisecond
	adaptiveQuick = 50 * time.Millisecond
	adaptiveLeast = 4
	adaptiveEvery = time.Minute // between two looks for base
	adaptiveStep  = 0.7         // of a look
)

// look is a look for base that is under way.
type look struct {
	on     bool
	from   float64       // limit when it began
	first  time.Duration // median then
	before time.Duration // median of the step before
}

func newControl(most int) control {
	return control{most: most, least: min(adaptiveLeast, most), limit: float64(most)}
}

// finding is what a window of answers shows.
type finding struct {
	median  time.Duration // 0: it says nothing
	low     time.Duration // what all but the quickest tenth take at least
	quick   bool          // the median is quick enough, whatever it was before
	tooMuch bool
	busy    bool // more wait than may be in flight
}

// decide takes a finding in. It reports whether the limit has changed.
func (c *control) decide(now time.Time, f finding) bool {
	before := int(c.limit)
	switch {
	case f.tooMuch:
		c.limit *= 0.7
		c.look.on = false
	case f.median == 0:
		c.grow(f.busy)
	case c.look.on:
		c.step(now, f.median)
	case !f.busy:
		c.calm(f.median)
	case f.quick:
		c.base = f.median
		c.grow(true)
	case c.base == 0 && f.median <= threshold(f.low):
		c.base, c.next = f.median, now.Add(adaptiveEvery)
	case c.base == 0 || !now.Before(c.next):
		c.look = look{on: true, from: c.limit, first: f.median, before: f.median}
		c.limit *= adaptiveStep
	case f.median > threshold(c.base):
		c.limit *= max(0.5, float64(threshold(c.base))/float64(f.median))
	case f.median < threshold(c.base)*9/10:
		c.base = min(c.base, f.median)
		c.grow(true)
	}
	c.limit = min(max(c.limit, float64(c.least)), float64(c.most))
	return int(c.limit) != before
}

// threshold is the median above which there are too many in flight, where an answer takes so
// long without a queue.
func threshold(base time.Duration) time.Duration { return base*3/2 + min(adaptiveSlack, base/2) }

func (c *control) grow(busy bool) {
	if busy {
		c.limit += max(1, c.limit/8)
	}
}

// calm takes in answers of a time when nobody waited for a slot: there was no queue here.
// More than a little at a time would take a queue elsewhere for the ordinary.
func (c *control) calm(median time.Duration) {
	if c.base == 0 || median < c.base {
		c.base = median
		return
	}
	c.base += (median - c.base) / 10
}

// step goes on with fewer in flight, or ends the look.
func (c *control) step(now time.Time, median time.Duration) {
	if median < c.look.before*17/20 && c.limit > float64(c.least) {
		c.look.before = median
		c.limit *= adaptiveStep
		return
	}
	c.base = min(median, c.look.before)
	c.look.on, c.next = false, now.Add(adaptiveEvery)
	back := c.look.from
	if over := threshold(c.base); c.look.first > over {
		back = max(c.limit/adaptiveStep, c.look.from*float64(over)/float64(c.look.first))
	}
	c.limit = min(back, c.look.from)
}
