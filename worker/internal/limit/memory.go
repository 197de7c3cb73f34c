package limit

import (
	"context"
	"sync"
)

// Memory is the budget that the bodies of claim-checked messages and the answers of attempts
// share, in bytes. It is shared out among the sources that use it:
//
//   - The first body of a source has its room if there is enough.
//   - More may come as long as the source then has no more than three times of what stays free.
//     So one alone leaves a quarter to those who come, and something stays free beside any
//     number.
//   - Where there is not enough for a first one, one at a time goes beyond the budget, in turn,
//     so that none waits for ever, however large it is.
//
// A body is taken in whole or waits. An answer grows while it is read, so that answers that
// each hold a part and wait for more could hold each other up for ever: one at a time may
// therefore go beyond the budget, too, to its end. Answers have no more than half of the
// budget, shared out in the same way, so that bodies do not wait for far sides that are slow
// to answer.
//
// In memory are thus no more than the budget, a body and an answer. Memory is safe for
// concurrent use.
type Memory struct {
	limit int64

	mu      sync.Mutex
	bodies  int64
	answers int64
	holders map[string]*holder // sources that have something
	queue   []*turn            // bodies that wait
	alone   *turn              // the body that is not counted
	beyond  *Room              // the answer that is not counted
	freed   chan struct{}      // closed when something changes for the better
}

// holder is what a source has.
type holder struct {
	count           int // its bodies and answers, also those that go beyond the budget
	bodyCount       int
	bodies, answers int64 // bytes
}

// turn is a body that waits, or goes alone.
type turn struct {
	source string
	size   int64
	ready  chan struct{} // closed when it has its room
}

// NewMemory returns a budget of so many bytes.
func NewMemory(limit int64) *Memory {
	return &Memory{limit: limit, holders: make(map[string]*holder), freed: make(chan struct{})}
}

// Take waits for room for a body of the source. A larger one than the whole budget counts as if
// it were as large. The returned function gives the room back; it is nil with an error, which
// is the cause of the end of ctx.
func (m *Memory) Take(ctx context.Context, source string, size int64) (give func(), err error) {
	t := &turn{source: source, size: min(size, m.limit), ready: make(chan struct{})}
	m.mu.Lock()
	m.queue = append(m.queue, t)
	m.serve()
	m.mu.Unlock()
	select {
	case <-t.ready:
		return func() { m.give(t) }, nil
	default:
	}
	select {
	case <-t.ready:
		return func() { m.give(t) }, nil
	case <-ctx.Done():
	}
	m.mu.Lock()
	waits := m.leave(t)
	m.mu.Unlock()
	if !waits { // it has its room since just now
		m.give(t)
	}
	return nil, context.Cause(ctx)
}

// leave takes a body off the queue, if it is there.
func (m *Memory) leave(t *turn) bool {
	for i, other := range m.queue {
		if other == t {
			m.queue = append(m.queue[:i], m.queue[i+1:]...)
			m.serve()
			return true
		}
	}
	return false
}

// give gives the room of a body back.
func (m *Memory) give(t *turn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.holders[t.source]
	h.bodyCount--
	if m.alone == t {
		m.alone = nil
	} else {
		m.bodies -= t.size
		h.bodies -= t.size
	}
	m.drop(t.source, h)
	m.serve()
}

// drop forgets one of a source's bodies or answers.
func (m *Memory) drop(source string, h *holder) {
	if h.count--; h.count == 0 {
		delete(m.holders, source)
	}
}

// holder returns what a source has, with one more.
func (m *Memory) holder(source string) *holder {
	h := m.holders[source]
	if h == nil {
		h = new(holder)
		m.holders[source] = h
	}
	h.count++
	return h
}

// serve lets in the bodies that may come: those of sources that have none, then the others.
func (m *Memory) serve() {
	for _, first := range [...]bool{true, false} {
		kept := m.queue[:0]
		for _, t := range m.queue {
			if h := m.holders[t.source]; first != (h == nil || h.bodyCount == 0) || !m.admit(t, h) {
				kept = append(kept, t)
			}
		}
		clear(m.queue[len(kept):])
		m.queue = kept
	}
	close(m.freed)
	m.freed = make(chan struct{})
}

// admit lets a body in if it may come, where h is what its source has.
func (m *Memory) admit(t *turn, h *holder) bool {
	fits := m.free() >= t.size
	if h == nil || h.bodyCount == 0 {
		if !fits && m.alone != nil {
			return false
		}
	} else if !leaves(h.bodies+h.answers+t.size, m.free()-t.size) {
		return false
	}
	h = m.holder(t.source)
	h.bodyCount++
	if fits {
		m.bodies += t.size
		h.bodies += t.size
	} else {
		m.alone = t
	}
	close(t.ready)
	return true
}

func (m *Memory) free() int64 { return m.limit - m.bodies - m.answers }

// leaves reports whether one that has so much leaves enough free.
func leaves(has, free int64) bool { return free >= 0 && has <= 3*free }

// room reports whether the answers of a source may grow by so much.
func (m *Memory) room(h *holder, size int64) bool {
	free := min(m.limit/2-m.answers, m.free()) - size
	return free >= 0 && (h.answers == 0 || leaves(h.answers+size, free))
}
