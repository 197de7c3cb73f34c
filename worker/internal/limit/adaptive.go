package limit

import (
	"slices"
	"sync"
	"time"
)

// Adaptive finds how many requests may be in flight, from 4 (or fewer, where that is the
// most) to what the configuration allows, which it starts with. It watches how long the
// answers to SENDs take: when the median is well over what it is without a queue, there
// are too many in flight; while it is not and there are waiting, there may be more. When
// the far side says that it has too much, there are too many at once.
//
// What an answer takes without a queue is not known at first and may change: once a minute,
// while there is more to send, it is looked for with half as many in flight, and again
// half, until that makes no difference.
//
// Answers within adaptiveQuick are quick enough whatever they took before.
type Adaptive struct {
	most, least int
	resize      func(limit int, settled bool)
	waited      func() bool // whether somebody waited for a slot since it was asked last

	mu     sync.Mutex
	limit  float64
	base   time.Duration // what an answer takes without a queue; 0: not known
	window adaptiveWindow
	look   adaptiveLook
	next   time.Time // when to look for base again
}

const (
	adaptiveSlack   = 20 * time.Millisecond
	adaptiveQuick   = 50 * time.Millisecond
	adaptiveLeast   = 4
	adaptiveEvery   = time.Minute            // between two looks for base
	adaptiveMinimum = 100 * time.Millisecond // of a window
)

// adaptiveWindow collects what is decided on at once.
type adaptiveWindow struct {
	took  [128]time.Duration
	n     int // answers, the latest of them in took
	bad   int // those that said that it is too much
	skip  int // answers still to come of requests from before the latest change
	since time.Time
}

// adaptiveLook is a look for base that is under way.
type adaptiveLook struct {
	on     bool
	from   float64       // limit when it began
	first  time.Duration // median then
	before time.Duration // median of the step before
}

// NewAdaptive returns one that begins with the most there may be in flight. It calls resize with
// each change, settled unless it is only a look at what fewer make of it; waited is asked
// whether somebody waited for a slot since it was asked last.
func NewAdaptive(most int, resize func(limit int, settled bool), waited func() bool) *Adaptive {
	return &Adaptive{most: most, least: min(adaptiveLeast, most), limit: float64(most), resize: resize, waited: waited,
		window: adaptiveWindow{since: time.Now(), skip: most}} // at first there is no queue yet
}

// Observe takes in one answer. It is for every attempt, does next to nothing, and
// is safe for concurrent use.
func (a *Adaptive) Observe(now time.Time, took time.Duration, tooMuch bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := &a.window
	if w.skip > 0 { // a crowd that fails together is one failure
		w.skip--
		return
	}
	w.took[w.n%len(w.took)] = took
	w.n++
	if tooMuch {
		w.bad++
	}
	enough := max(16, min(int(a.limit), len(w.took)))
	if w.n < enough && w.bad < 8 || now.Sub(w.since) < adaptiveMinimum {
		return
	}
	a.decide(now)
}

// decide ends a window.
func (a *Adaptive) decide(now time.Time) {
	w := &a.window
	median, bad, busy := w.median(), w.bad*10 >= w.n, a.waited()
	before := int(a.limit)
	switch {
	case bad:
		a.limit *= 0.7
		a.look.on = false
	case a.look.on:
		a.step(now, median)
	case !busy:
		a.calm(median)
	case median <= adaptiveQuick:
		a.base = median
		a.grow()
	case a.base == 0 || !now.Before(a.next):
		a.look = adaptiveLook{on: true, from: a.limit, first: median, before: median}
		a.limit /= 2
	case median > a.threshold():
		a.limit *= max(0.5, float64(a.threshold())/float64(median))
	case median < a.threshold()*9/10:
		a.base = min(a.base, median)
		a.grow()
	}
	a.limit = min(max(a.limit, float64(a.least)), float64(a.most))
	*w = adaptiveWindow{since: now}
	if limit := int(a.limit); limit != before {
		w.skip = before
		a.resize(limit, !a.look.on)
	}
}

// threshold is the median above which there are too many in flight.
func (a *Adaptive) threshold() time.Duration { return a.base*3/2 + adaptiveSlack }

func (a *Adaptive) grow() { a.limit += max(1, a.limit/8) }

// calm takes in answers of a time when nobody waited for a slot: there was no queue here.
// More than a little at a time would take a queue elsewhere for the ordinary.
func (a *Adaptive) calm(median time.Duration) {
	if a.base == 0 || median < a.base {
		a.base = median
		return
	}
	a.base += (median - a.base) / 10
}

// step goes on with half as many in flight, or ends the look.
func (a *Adaptive) step(now time.Time, median time.Duration) {
	if median < a.look.before*17/20 && a.limit > float64(a.least) {
		a.look.before = median
		a.limit /= 2
		return
	}
	a.base = min(median, a.look.before)
	a.look.on, a.next = false, now.Add(adaptiveEvery)
	back := a.look.from
	if over := a.threshold(); a.look.first > over {
		back = max(2*a.limit, a.look.from*float64(over)/float64(a.look.first))
	}
	a.limit = min(back, a.look.from)
}

func (w *adaptiveWindow) median() time.Duration {
	list := slices.Clone(w.took[:min(w.n, len(w.took))])
	slices.Sort(list)
	return list[len(list)/2]
}
