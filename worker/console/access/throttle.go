package access

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// freeTries is how many wrong secrets cost nothing, for one name from one place; wideTries is how many
	// names may be tried from it: many people may come from one address.
	freeTries, wideTries = 5, 40
	// mostWait is the longest wait that wrong secrets earn; the waits begin with a second and double.
	mostWait = time.Minute
	// forgetTries is how long after the last of them wrong secrets are forgotten.
	forgetTries = 15 * time.Minute
	// mostTries bounds how many places are remembered.
	mostTries = 10_000
)

// throttle slows whoever tries secrets, and nobody else: it counts by the place that they come from.
// A browser in which somebody has signed in before is a place of its own for that name, so that
// nobody behind the same address keeps them out. It is safe for concurrent use.
type throttle struct {
	mu     sync.Mutex
	places map[string]*tries
}

type tries struct {
	wrong int
	next  time.Time // before it nothing is tried
	last  time.Time
}

func newThrottle() *throttle { return &throttle{places: map[string]*tries{}} }

// begin counts a try as wrong until [throttle.right] says otherwise, or returns how long to wait: those
// that come at once count, too.
func (t *throttle) begin(place string, free int) time.Duration {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.places[place]
	if p == nil || now.Sub(p.last) > forgetTries {
		t.makeRoom(now)
		p = &tries{}
		t.places[place] = p
	}
	if wait := p.next.Sub(now); wait > 0 {
		return wait
	}
	p.last = now
	if p.wrong++; p.wrong >= free {
		p.next = now.Add(min(mostWait, time.Second<<min(p.wrong-free, 10)))
	}
	return 0
}

// knows reports whether there were tries from a place.
func (t *throttle) knows(place string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.places[place]
	return p != nil && time.Since(p.last) <= forgetTries
}

// right forgets the tries of a place.
func (t *throttle) right(place string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.places, place)
}

// undo takes one try back; where it was the only one, the place is forgotten.
func (t *throttle) undo(place string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.places[place]; p != nil {
		if p.wrong--; p.wrong <= 0 {
			delete(t.places, place)
		}
		p.next = time.Time{}
	}
}

// makeRoom forgets the places that are over, else the one that was quiet for longest. t.mu is held.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.places) < mostTries {
		return
	}
	var quietest string
	var since time.Time
	for place, p := range t.places {
		if now.Sub(p.last) > forgetTries {
			delete(t.places, place)
		} else if quietest == "" || p.last.Before(since) {
			quietest, since = place, p.last
		}
	}
	if len(t.places) >= mostTries {
		delete(t.places, quietest)
	}
}

// placeOf is an address as a place: of version 6 the network, which one customer has all of.
func placeOf(a netip.Addr) string {
	if a.Is6() {
		if network, err := a.Prefix(64); err == nil {
			return network.String()
		}
	}
	return a.String()
}
