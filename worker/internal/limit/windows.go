package limit

import (
	"cmp"
	"slices"
	"time"
)

const (
	windowMinimum = 100 * time.Millisecond // is how long one lasts at least
	windowSize    = 64                     // is how many answers of one source are looked at
	crowdSize     = 128                    // is how many of all
)

// enough is how many answers end a window, where so many may be in flight.
func enough(limit, size int) int { return max(16, min(limit, size)) }

// window collects the answers to one source that are decided on at once.
type window struct {
	took  [windowSize]time.Duration
	timed int // answers that say how long they took, the latest of them in took
	n     int
	bad   int
	skip  int // answers still to come of requests from before the latest change
	since time.Time
	first bool          // there was no change: of what is skipped, there was no queue yet
	low   time.Duration // the quickest of those
}

// add takes an answer in, and reports whether the window is full.
func (w *window) add(o Answer, limit int) bool {
	if w.skip > 0 { // a crowd that fails together is one failure
		w.skip--
		if w.first && o.Took > 0 && (w.low == 0 || o.Took < w.low) {
			w.low = o.Took
		}
		if !w.first || o.Load == Fine {
			return false
		}
	}
	w.n++
	if o.Load != Fine {
		w.bad++
	}
	if o.Took > 0 {
		w.took[w.timed%len(w.took)] = o.Took
		w.timed++
	}
	return (w.n >= enough(limit, windowSize) || w.bad >= 8) && o.At.Sub(w.since) >= windowMinimum
}

func (w *window) finding() finding {
	f := finding{tooMuch: w.bad*10 >= w.n}
	if w.timed == 0 {
		return f
	}
	list := w.took[:min(w.timed, len(w.took))]
	slices.Sort(list)
	f.low, f.median = cmp.Or(w.low, list[len(list)/10]), list[len(list)/2]
	f.quick = f.median <= adaptiveQuick
	return f
}

// crowd collects the answers to all sources that are decided on at once. Each source has the
// same say in it, however many of them are its own, and whatever its answers take usually.
type crowd struct {
	answers [crowdSize]crowdAnswer
	n       int
	refused int
	bad     float64 // of those, what was not usual
	skip    int
	since   time.Time
	started bool
	round   uint64
	members []*scope // sources with answers in this round
}

type crowdAnswer struct {
	took time.Duration // as if it usually took crowdUsual; 0: it says nothing
	of   *scope
}

const crowdUsual = 100 * time.Millisecond

// member is a source's part of a crowd.
type member struct {
	round uint64
	timed int
	quick int // of those that are timed
	// whether there was a refusal, and how many there were but for those that were usual
	refused bool
	bad     float64
}

// add takes an answer in. That a source is refused whose messages fail all the time says little
// about the far side as a whole.
func (c *crowd) add(o Answer, u *scope, inUse func() int) {
	if !c.started {
		c.started, c.skip = true, inUse()
	}
	if c.skip > 0 {
		c.skip--
		return
	}
	took := u.relative(o.Took)
	if o.Behind || o.Load == Failed || o.Load == Fine && took == 0 || c.n == len(c.answers) {
		return
	}
	m := &u.member
	if m.round != c.round {
		*m = member{round: c.round}
		c.members = append(c.members, u)
	}
	if o.Load == Refused {
		bad := min(1, 2*(1-u.failed))
		m.refused = true
		c.refused++
		m.bad += bad
		c.bad += bad
	}
	if took > 0 {
		m.timed++
	}
	if took > 0 && o.Took <= adaptiveQuick {
		m.quick++
	}
	c.answers[c.n] = crowdAnswer{took, u}
	c.n++
}

// relative is what an answer took, as if it usually took crowdUsual; 0: that is not known.
func (u *scope) relative(took time.Duration) time.Duration {
	if took <= 0 || u.usual <= 0 {
		return 0
	}
	relative := time.Duration(float64(crowdUsual) * float64(took) / float64(u.usual))
	if took <= adaptiveQuick {
		return min(relative, crowdUsual)
	}
	return relative
}

// full reports whether there is enough to decide on.
func (c *crowd) full(now time.Time, limit int) bool {
	return (c.n >= max(crowdSize/2, min(limit, crowdSize)) || c.bad >= 8) && now.Sub(c.since) >= windowMinimum
}

func (c *crowd) reset(now time.Time) {
	c.n, c.refused, c.bad, c.skip, c.since = 0, 0, 0, 0, now
	c.round++
	clear(c.members)
	c.members = c.members[:0]
}

// finding is that of the sources together; of one alone it says nothing.
func (c *crowd) finding() (f finding) {
	bad, refused, all, most, quick := 0.0, 0, 0.0, 0.0, 0.0
	for _, u := range c.members {
		m := &u.member
		bad += min(m.bad, float64(c.n)/20) // so that one alone is not a tenth
		if m.refused {
			refused++
		}
		say := m.say()
		all += say
		most = max(most, say)
		if m.timed > 0 {
			quick += say * float64(m.quick) / float64(m.timed)
		}
	}
	if 2*refused > len(c.members) { // then it is not their own trouble
		bad = float64(c.refused)
	}
	f.tooMuch = bad*10 >= float64(c.n) && refused > 1
	if all == 0 || most*2 > all {
		return f
	}
	f.quick = quick*2 >= all
	f.low = c.start()
	list := c.answers[:c.n]
	slices.SortFunc(list, func(a, b crowdAnswer) int { return int(a.took - b.took) })
	sum := 0.0
	for _, a := range list {
		if a.took == 0 {
			continue
		}
		sum += a.of.member.say() / float64(a.of.member.timed)
		if sum*2 >= all-1e-6 { // of two sources, it is the quicker one that counts
			f.median = a.took
			return f
		}
	}
	return f
}

// say is how much a source counts for: all the same, but those that had few answers.
func (m *member) say() float64 { return float64(min(m.timed, 8)) }

// start is what an answer took when there was no queue yet: the quickest of all.
func (c *crowd) start() (low time.Duration) {
	for _, u := range c.members {
		if took := u.relative(u.quickest); low == 0 || took > 0 && took < low {
			low = took
		}
	}
	return low
}
