package worker

import (
	"context"
	"slices"
	"sync"
)

// slots bounds the attempts in flight over all sources and shares them fairly. Half of
// the slots is guaranteed to the sources in equal parts, so that hanging requests of one
// leave room for the others; the rest is common and goes to whoever waits: one source
// after the other, within a source first come first served.
type slots struct {
	mu        sync.Mutex
	guarantee int // slots of each source that no other may take
	common    int // free slots beyond the guarantees
	held      map[string]int
	queues    map[string][]chan struct{}
	turn      []string // sources with waiters, next first
}

func newSlots(limit, sources int) *slots {
	sources = max(1, sources)
	guarantee := limit / (2 * sources)
	return &slots{
		guarantee: guarantee,
		common:    limit - guarantee*sources,
		held:      make(map[string]int),
		queues:    make(map[string][]chan struct{}),
	}
}

// acquire takes a slot for the source, waiting for one until ctx ends. It reports
// whether it got one; each is given back with release.
func (s *slots) acquire(ctx context.Context, source string) bool {
	s.mu.Lock()
	if len(s.queues[source]) == 0 && s.take(source) {
		s.mu.Unlock()
		return true
	}
	ready := make(chan struct{})
	if len(s.queues[source]) == 0 {
		s.turn = append(s.turn, source)
	}
	s.queues[source] = append(s.queues[source], ready)
	s.mu.Unlock()

	select {
	case <-ready:
		return true
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leave(source, ready) { // granted just as ctx ended: hand it on
		s.put(source)
	}
	return false
}

// release gives a slot of the source back.
func (s *slots) release(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(source)
}

// inUse is the number of slots taken.
func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, held := range s.held {
		n += held
	}
	return n
}

func (s *slots) take(source string) bool {
	if s.held[source] >= s.guarantee {
		if s.common == 0 {
			return false
		}
		s.common--
	}
	s.held[source]++
	return true
}

func (s *slots) put(source string) {
	if s.held[source] > s.guarantee {
		s.common++
	}
	s.held[source]--
	s.grant()
}

// grant hands free slots to waiters in turn.
func (s *slots) grant() {
	for i := 0; i < len(s.turn); {
		source := s.turn[i]
		if !s.take(source) {
			i++
			continue
		}
		queue := s.queues[source]
		close(queue[0])
		s.queues[source] = queue[1:]
		s.turn = slices.Delete(s.turn, i, i+1)
		if len(queue) > 1 {
			s.turn = append(s.turn, source)
		}
	}
}

// leave takes a waiter out of the queue; false means it had been granted a slot.
func (s *slots) leave(source string, ready chan struct{}) bool {
	i := slices.Index(s.queues[source], ready)
	if i < 0 {
		return false
	}
	s.queues[source] = slices.Delete(s.queues[source], i, i+1)
	if len(s.queues[source]) == 0 {
		s.turn = slices.DeleteFunc(s.turn, func(name string) bool { return name == source })
	}
	return true
}
