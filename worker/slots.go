package worker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// slots bounds the attempts in flight over all sources and shares them fairly. Half of
// the slots is guaranteed to the sources in equal parts, so that hanging requests of one
// leave room for the others; the rest is common and goes to whoever waits: REQUESTs first,
// then one source after the other, within a source first come first served.
type slots struct {
	mu        sync.Mutex
	limit     int
	sources   int
	guarantee int  // slots of each source that no other may take
	common    int  // free slots beyond the guarantees; negative after the limit went down
	waited    bool // somebody had to wait for a slot
	held      map[string]int
	requests  slotQueue
	sends     slotQueue
}

// slotQueue holds the waiters of one kind.
type slotQueue struct {
	waiters map[string][]chan struct{}
	turn    []string // sources with waiters, next first
}

func newSlots(limit, sources int) *slots {
	s := &slots{sources: max(1, sources), held: make(map[string]int),
		requests: slotQueue{waiters: make(map[string][]chan struct{})}, sends: slotQueue{waiters: make(map[string][]chan struct{})}}
	s.resize(limit)
	return s
}

// resize changes the limit. Attempts in flight beyond a lower one go on.
func (s *slots) resize(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
	s.guarantee = limit / (2 * s.sources)
	s.common = limit - s.guarantee*s.sources
	for _, held := range s.held {
		s.common -= max(0, held-s.guarantee)
	}
	s.grant()
}

// size is the limit at present.
func (s *slots) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit
}

// full reports whether the source would have to wait for a slot.
func (s *slots) full(source string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[source] >= s.guarantee && s.common <= 0
}

// hadWaiters reports whether somebody had to wait for a slot since it was asked last.
func (s *slots) hadWaiters() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	waited := s.waited
	s.waited = len(s.requests.turn)+len(s.sends.turn) > 0
	return waited
}

func (s *slots) queue(lane outbox.Lane) *slotQueue {
	if lane == outbox.LaneRequest {
		return &s.requests
	}
	return &s.sends
}

// acquire takes a slot for the source, waiting for one until ctx ends. It reports
// whether it got one; each is given back with release.
func (s *slots) acquire(ctx context.Context, source string, lane outbox.Lane) bool {
	return s.wait(ctx, source, s.ask(source, lane), lane, nil)
}

// acquireBy is acquire with a time by which it stops waiting.
func (s *slots) acquireBy(ctx context.Context, source string, lane outbox.Lane, at time.Time) bool {
	ready := s.ask(source, lane)
	if ready == nil {
		return true
	}
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	return s.wait(ctx, source, ready, lane, timer.C)
}

// ask takes a slot, which nil says, or joins the queue for one.
func (s *slots) ask(source string, lane outbox.Lane) (ready chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue(lane)
	if len(q.waiters[source]) == 0 && s.take(source) {
		return nil
	}
	ready = make(chan struct{})
	q.push(source, ready)
	s.waited = true
	return ready
}

// wait for a slot that was asked for, until ctx ends or the time is over.
func (s *slots) wait(ctx context.Context, source string, ready chan struct{}, lane outbox.Lane, over <-chan time.Time) bool {
	if ready == nil {
		return true
	}
	select {
	case <-ready:
		return true
	case <-ctx.Done():
	case <-over:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.queue(lane).leave(source, ready) { // granted just as the waiting ended: hand it on
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
		if s.common <= 0 {
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
	s.requests.grant(s.take)
	s.sends.grant(s.take)
}

func (q *slotQueue) grant(take func(source string) bool) {
	for i := 0; i < len(q.turn); {
		source := q.turn[i]
		if !take(source) {
			i++
			continue
		}
		queue := q.waiters[source]
		close(queue[0])
		q.waiters[source] = queue[1:]
		q.turn = slices.Delete(q.turn, i, i+1)
		if len(queue) > 1 {
			q.turn = append(q.turn, source)
		}
	}
}

func (q *slotQueue) push(source string, ready chan struct{}) {
	if len(q.waiters[source]) == 0 {
		q.turn = append(q.turn, source)
	}
	q.waiters[source] = append(q.waiters[source], ready)
}

// leave takes a waiter out of the queue; false means it had been granted a slot.
func (q *slotQueue) leave(source string, ready chan struct{}) bool {
	i := slices.Index(q.waiters[source], ready)
	if i < 0 {
		return false
	}
	q.waiters[source] = slices.Delete(q.waiters[source], i, i+1)
	if len(q.waiters[source]) == 0 {
		q.turn = slices.DeleteFunc(q.turn, func(name string) bool { return name == source })
	}
	return true
}
