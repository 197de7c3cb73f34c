package limit

import (
	"context"
	"sync"
)

// Class is the kind of traffic that a slot is for.
type Class uint8

// The classes. The zero value is Send.
const (
	Send Class = iota
	Request
)

// Slots bounds the attempts in flight and shares them out among the sources that have work.
// Each class of a source counts as one of them, so that neither waits for the other's slow
// answers:
//
//   - The first slot is always to be had at once, for any number of sources, also when all
//     are taken.
//   - So is a share of size/n slots, where n have work, for as long as no more than half as
//     many again as the size are taken. What another holds beyond its own share, because its
//     far side hangs or is slow, is therefore not missing to the others.
//   - What nobody claims goes to whoever wants it. Who waits and holds fewest is next.
//
// In flight are thus no more than 1.5 × size, and one for each class of each source that has
// work. Beyond the size there is something only until those that held more than their shares
// have given it back. (To keep a part free for those who come would leave it idle most of the
// time, and no part is enough for any number of sources.)
//
// A source exists for Slots only while it holds a slot or waits for one. All methods are
// safe for concurrent use.
type Slots struct {
	mu       sync.Mutex
	size     int
	inUse    int
	waited   bool // somebody had to wait for a slot
	turn     uint64
	units    map[unitKey]*unit
	queue    unitQueue // with waiters, and slots to come
	narrowed map[unitKey]int

	// kept for the next that comes, so that nothing is allocated
	spareUnits   []*unit
	spareWaiters []*waiter
}

// mostSpare bounds what is kept for later of each kind.
const mostSpare = 512

// unitKey names what has a share.
type unitKey struct {
	source string
	class  Class
}

// unit is a class of a source that holds slots or waits for them.
type unit struct {
	unitKey
	held        int
	most        int  // it has at most; 0: no limit of its own
	waited      bool // somebody had to wait
	first, last *waiter
	turn        uint64 // when it was served last, or began to wait
	index       int    // in the queue; -1: not in it
}

// waiter waits for up to so many slots.
type waiter struct {
	want  int
	ready chan int // has room for one
	next  *waiter
}

// NewSlots returns so many slots.
func NewSlots(size int) *Slots {
	return &Slots{size: size, units: make(map[unitKey]*unit), narrowed: make(map[unitKey]int)}
}

// Acquire takes at least one slot and at most n, and waits for the first until ctx ends. It
// returns how many; none means that ctx ended. Each is given back with Release.
func (s *Slots) Acquire(ctx context.Context, source string, class Class, n int) int {
	n = max(n, 1)
	s.mu.Lock()
	u := s.unit(unitKey{source, class})
	if u.first == nil {
		if taken := s.take(u, n); taken > 0 {
			s.mu.Unlock()
			return taken
		}
	}
	w := s.join(u, n)
	s.mu.Unlock()
	select {
	case taken := <-w.ready:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.spare(w)
		return taken
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leave(u, w)
		return 0
	}
}

// TryAcquire takes as many of n slots as the source can have without waiting, which may be
// none. Each is given back with Release.
func (s *Slots) TryAcquire(source string, class Class, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < 1 {
		return 0
	}
	u := s.unit(unitKey{source, class})
	if u.first != nil {
		return 0
	}
	return s.take(u, n)
}

// Release gives a slot back.
func (s *Slots) Release(source string, class Class) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units[unitKey{source, class}]
	s.give(u, 1)
}

// Full reports whether the source would have to wait for a slot.
func (s *Slots) Full(source string, class Class) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units[unitKey{source, class}]
	return u != nil && (u.first != nil || !s.free(u))
}

// Resize changes how many slots there are. Those beyond a lower size are not taken back.
func (s *Slots) Resize(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size = size
	s.grant()
}

// Size is how many slots there are at present.
func (s *Slots) Size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// InUse is the number of slots taken.
func (s *Slots) InUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inUse
}

// HadWaiters reports whether somebody had to wait for a slot since it was asked last.
func (s *Slots) HadWaiters() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	waited := s.waited
	s.waited = len(s.queue) > 0
	return waited
}

// hadWaiters is HadWaiters of one class of a source.
func (s *Slots) hadWaiters(key unitKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units[key]
	if u == nil {
		return false
	}
	waited := u.waited
	u.waited = u.first != nil
	return waited
}

// Narrowed returns the sources that may take fewer slots than there are, whatever is free, with
// how many of a class; nil when there is none.
func (s *Slots) Narrowed() (most map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, n := range s.narrowed {
		if most == nil {
			most = make(map[string]int)
		}
		if other, ok := most[key.source]; !ok || n < other {
			most[key.source] = n
		}
	}
	return most
}

// held is how many slots a class of a source has.
func (s *Slots) held(key unitKey) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.units[key]; u != nil {
		return u.held
	}
	return 0
}

// narrow has a class of a source take no more than so many; 0 ends that.
func (s *Slots) narrow(key unitKey, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if most > 0 {
		s.narrowed[key] = most
	} else {
		delete(s.narrowed, key)
	}
	if u := s.units[key]; u != nil {
		u.most = most
		s.settle(u)
		s.grant()
	}
}

// unit returns that of a name, made where there is none.
func (s *Slots) unit(key unitKey) *unit {
	u := s.units[key]
	if u != nil {
		return u
	}
	if last := len(s.spareUnits) - 1; last >= 0 {
		u, s.spareUnits = s.spareUnits[last], s.spareUnits[:last]
	} else {
		u = new(unit)
	}
	*u = unit{unitKey: key, index: -1}
	if len(s.narrowed) > 0 {
		u.most = s.narrowed[key]
	}
	s.units[key] = u
	return u
}

// narrow reports that the unit has all that it may have, whatever is free.
func (u *unit) narrow() bool { return u.most > 0 && u.held >= u.most }

// free reports whether the unit may have one more.
func (s *Slots) free(u *unit) bool {
	switch {
	case u.held == 0:
		return true
	case u.narrow():
		return false
	case s.inUse < s.size:
		return true
	}
	return u.held < s.share() && s.inUse < s.size+s.size/2
}

// share is that of each.
func (s *Slots) share() int { return s.size / len(s.units) }

// take takes up to n slots.
func (s *Slots) take(u *unit, n int) (taken int) {
	for taken < n && s.free(u) {
		u.held++
		s.inUse++
		taken++
	}
	return taken
}

// give takes n slots back and hands them on.
func (s *Slots) give(u *unit, n int) {
	u.held -= n
	s.inUse -= n
	s.settle(u)
	s.grant()
}

// settle puts a unit whose slots or waiters have changed in its place, or away.
func (s *Slots) settle(u *unit) {
	switch {
	case u.first != nil && !u.narrow():
		s.queue.put(u)
	case u.index >= 0:
		s.queue.remove(u)
	}
	if u.held == 0 && u.first == nil {
		delete(s.units, u.unitKey)
		if len(s.spareUnits) < mostSpare {
			s.spareUnits = append(s.spareUnits, u)
		}
	}
}

// join has one more wait.
func (s *Slots) join(u *unit, n int) *waiter {
	var w *waiter
	if last := len(s.spareWaiters) - 1; last >= 0 {
		w, s.spareWaiters = s.spareWaiters[last], s.spareWaiters[:last]
	} else {
		w = &waiter{ready: make(chan int, 1)}
	}
	w.want, w.next = n, nil
	if u.first == nil {
		u.first = w
		s.turn++
		u.turn = s.turn
	} else {
		u.last.next = w
	}
	u.last = w
	u.waited = true
	s.waited = s.waited || !u.narrow()
	s.settle(u)
	return w
}

// leave takes a waiter away whose waiting has ended. What it was granted just then is handed
// on.
func (s *Slots) leave(u *unit, w *waiter) {
	taken := 0
	select {
	case taken = <-w.ready:
	default:
		u.without(w)
	}
	s.spare(w)
	s.give(u, taken)
}

// spare keeps a waiter for the next that waits.
func (s *Slots) spare(w *waiter) {
	if w.next = nil; len(s.spareWaiters) < mostSpare {
		s.spareWaiters = append(s.spareWaiters, w)
	}
}

// without takes a waiter off the unit's.
func (u *unit) without(w *waiter) {
	var before *waiter
	for at := u.first; at != w; at = at.next {
		before = at
	}
	if before == nil {
		u.first = w.next
	} else {
		before.next = w.next
	}
	if u.last == w {
		u.last = before
	}
}

// grant hands out what may be had by those who wait.
func (s *Slots) grant() {
	for len(s.queue) > 0 && s.free(s.queue[0]) {
		u := s.queue[0]
		w := u.first
		want := 1
		if len(s.queue) == 1 {
			want = w.want
		}
		u.first = w.next
		s.turn++
		u.turn = s.turn
		w.ready <- s.take(u, want)
		s.settle(u)
	}
}
