package limit

import (
	"sync"
	"time"
)

// Adaptive narrows [Slots] to what the far side copes with. There is a limit for each class of
// a source, which follows the answers to its own messages, and one over all, which follows what
// most sources meet: answers that take longer, or that say there is too much, of one source
// alone narrow that source alone. Where only one has traffic, its own limit is all that moves.
//
// A source has a state here only while it has traffic, and for some minutes after. Adaptive is
// safe for concurrent use.
type Adaptive struct {
	slots   *Slots
	most    int
	resized func(size int, settled bool)

	mu    sync.Mutex
	all   control
	crowd crowd
	units map[unitKey]*scope
	seen  time.Time // when the latest answer came
	swept time.Time // when those without traffic were looked for last
}

// forgetAfter is how long a source without traffic keeps its limit.
const forgetAfter = 5 * time.Minute

// scope is the state of one source's class.
type scope struct {
	unitKey
	control
	window   window
	seen     time.Time
	failed   float64       // which part of its latest answers was bad
	usual    time.Duration // what its answers take usually; 0: not known yet
	learnt   time.Time     // when that was looked at last
	quickest time.Duration // of its answers
	member   member
}

// Answer is what came of an attempt.
type Answer struct {
	Source string
	Class  Class
	At     time.Time
	// Took is how long the far side itself took; 0 where it says nothing of its load, since it
	// depends on the message, or on somebody behind.
	Took time.Duration
	Load Load
	// Behind reports that the answer is that of somebody behind the far side: it says nothing
	// about what the far side itself copes with.
	Behind bool
}

// Load is what an answer says of the far side's load.
type Load uint8

// The loads.
const (
	// Fine says that there is not too much.
	Fine Load = iota
	// Failed says that the message, its source or what is behind it has trouble.
	Failed
	// Refused says that the far side may have too much altogether, if others meet it too.
	Refused
)

// NewAdaptive returns one that leaves the slots as they are to begin with. It calls resized, which
// may be nil, with each change of their number; settled means that it is more than a look at what
// fewer make of it.
func NewAdaptive(slots *Slots, resized func(size int, settled bool)) *Adaptive {
	most := slots.Size()
	return &Adaptive{slots: slots, most: most, resized: resized, all: newControl(most), crowd: crowd{round: 1}, units: make(map[unitKey]*scope)}
}

// Observe takes in one answer. It is called for every attempt and does next to nothing.
func (a *Adaptive) Observe(o Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.seen.IsZero() && o.At.Sub(a.seen) > forgetAfter {
		a.reset(o.At)
	}
	a.seen = o.At
	u := a.scope(o)
	if o.Took > 0 && (u.quickest == 0 || o.Took < u.quickest) {
		u.quickest = o.Took
	}
	a.crowd.add(o, u, a.slots.InUse)
	bad := 0.0
	if o.Load != Fine {
		bad = 1
	}
	u.failed += (bad - u.failed) / 8
	if u.window.add(o, int(u.limit)) {
		f := u.window.finding()
		u.learn(o.At, f.median)
		f.busy = a.slots.hadWaiters(u.unitKey)
		a.narrow(u, o.At, f)
	}
	if a.crowd.full(o.At, int(a.all.limit)) {
		f := a.crowd.finding()
		f.busy = a.slots.HadWaiters()
		a.resize(o.At, f)
	}
}

// learn takes into what answers take usually what they took in the latest window: the first time
// at once, later so slowly that a queue shows against it.
func (u *scope) learn(now time.Time, median time.Duration) {
	if median == 0 {
		return
	}
	part := 1.0
	if u.usual > 0 {
		part = min(1, float64(now.Sub(u.learnt))/float64(usualTime))
	}
	u.usual += time.Duration(float64(median-u.usual) * part)
	u.learnt = now
}

const usualTime = 10 * time.Minute

// scope returns that of an answer, made where there is none.
func (a *Adaptive) scope(o Answer) *scope {
	if o.At.Sub(a.swept) > forgetAfter {
		a.forget(o.At)
	}
	key := unitKey{o.Source, o.Class}
	u := a.units[key]
	if u == nil {
		u = &scope{unitKey: key, control: newControl(a.most), window: window{since: o.At, first: true, skip: min(a.slots.held(key), a.most)}}
		a.units[key] = u
	}
	u.seen = o.At
	return u
}

// forget drops what has had no traffic for long.
func (a *Adaptive) forget(now time.Time) {
	a.swept = now
	for key, u := range a.units {
		if now.Sub(u.seen) > forgetAfter {
			delete(a.units, key)
			a.slots.narrow(key, 0)
		}
	}
}

// reset has all begin anew, after a time without traffic.
func (a *Adaptive) reset(now time.Time) {
	a.forget(now)
	a.crowd.reset(now)
	a.crowd.started = false
	if a.all = newControl(a.most); a.slots.Size() != a.most {
		a.apply()
	}
}

// narrow decides about one source.
func (a *Adaptive) narrow(u *scope, now time.Time, f finding) {
	before := int(u.limit)
	changed := u.decide(now, f)
	u.window = window{since: now}
	if !changed {
		return
	}
	u.window.skip = min(before, a.slots.held(u.unitKey))
	if int(u.limit) == a.most {
		a.slots.narrow(u.unitKey, 0)
		return
	}
	a.slots.narrow(u.unitKey, int(u.limit))
}

// resize decides about all.
func (a *Adaptive) resize(now time.Time, f finding) {
	before := int(a.all.limit)
	changed := a.all.decide(now, f)
	a.crowd.reset(now)
	if !changed {
		return
	}
	a.crowd.skip = min(before, a.slots.InUse())
	a.apply()
}

// apply has the slots be as many as all may have in flight.
func (a *Adaptive) apply() {
	size := int(a.all.limit)
	a.slots.Resize(size)
	if a.resized != nil {
		a.resized(size, !a.all.look.on)
	}
}
