package worker

import (
	"context"
	"errors"
	"sync"
)

// memory is the budget that the bodies of claim-checked messages and the answers of attempts
// share, in bytes.
//
// A body is taken in whole or waits, in turn. An answer grows while it is read, so that
// answers that each hold a part and wait for more could hold each other up for ever: one at a
// time may therefore go beyond the budget, to its end. Answers have no more than half of it,
// so that bodies do not wait for far sides that are slow to answer.
type memory struct {
	limit int64

	mu      sync.Mutex
	bodies  int64
	answers int64
	queue   []*turn       // bodies that wait
	beyond  *answerRoom   // the answer that is not counted
	freed   chan struct{} // closed when something changes for the better
}

// turn is a body that waits.
type turn struct {
	size  int64
	ready chan struct{} // closed when it has its room
}

func newMemory(limit int64) *memory { return &memory{limit: limit, freed: make(chan struct{})} }

// take waits for room for a body, no more than the limit.
func (m *memory) take(ctx context.Context, size int64) error {
	m.mu.Lock()
	if len(m.queue) == 0 && m.bodies+m.answers+size <= m.limit {
		m.bodies += size
		m.mu.Unlock()
		return nil
	}
	t := &turn{size: size, ready: make(chan struct{})}
	m.queue = append(m.queue, t)
	m.mu.Unlock()
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-t.ready: // just now
		m.bodies -= size
	default:
		m.leave(t)
	}
	m.serve()
	return context.Cause(ctx)
}

// leave takes a body off the queue.
func (m *memory) leave(t *turn) {
	for i, other := range m.queue {
		if other == t {
			m.queue = append(m.queue[:i], m.queue[i+1:]...)
			return
		}
	}
}

// give gives the room of a body back.
func (m *memory) give(size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bodies -= size
	m.serve()
}

// serve lets in what there is room for. The mutex is held.
func (m *memory) serve() {
	for len(m.queue) > 0 && m.bodies+m.answers+m.queue[0].size <= m.limit {
		m.bodies += m.queue[0].size
		close(m.queue[0].ready)
		m.queue = m.queue[1:]
	}
	close(m.freed)
	m.freed = make(chan struct{})
}

// admits reports whether answers may grow by so much. A body that needs more than bodies are
// sure of goes first.
func (m *memory) admits(size int64) bool {
	half := m.limit / 2
	return m.answers+size <= half && m.bodies+m.answers+size <= m.limit && (len(m.queue) == 0 || m.queue[0].size <= m.limit-half)
}

// answerRoom is what the answer of one attempt takes.
type answerRoom struct {
	memory *memory
	size   int64 // counted
	beyond bool  // no more of it is counted
	over   bool  // so is the attempt; who reads on keeps nothing for it
}

var errNoRoom = errors.New("worker: there is no room in memory for the answer")

// grow has the answer take more.
func (a *answerRoom) grow(ctx context.Context, size int64, wait bool) error {
	m := a.memory
	for {
		m.mu.Lock()
		switch {
		case a.beyond || a.over:
			m.mu.Unlock()
			return nil
		case m.admits(size):
			m.answers += size
			a.size += size
			m.mu.Unlock()
			return nil
		case wait && m.beyond == nil:
			m.beyond, a.beyond = a, true
			m.mu.Unlock()
			return nil
		}
		freed := m.freed
		m.mu.Unlock()
		if !wait {
			return errNoRoom
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// end gives all of it back.
func (a *answerRoom) end() {
	m := a.memory
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a.over = true
	if a.size == 0 && !a.beyond {
		return
	}
	m.answers -= a.size
	if m.beyond == a {
		m.beyond = nil
	}
	a.size, a.beyond = 0, false
	m.serve()
}

// roomKey finds the room of an attempt's answer in its context.
type roomKey struct{}

// AnswerRoom is for a [Deliverer] that is about to keep more of an answer in memory, by so many
// bytes, in the attempt of this context. It counts them against Config.MaxClaimMemory until the
// message is settled. With wait it blocks until there is room, or until ctx ends, and returns
// [context.Cause] then; without, it answers at once, with an error when there is none. In a
// context that is not an attempt's there always is. It is safe for concurrent use.
func AnswerRoom(ctx context.Context, bytes int64, wait bool) error {
	a, ok := ctx.Value(roomKey{}).(*answerRoom)
	if !ok || a.memory == nil {
		return nil
	}
	return a.grow(ctx, bytes, wait)
}
