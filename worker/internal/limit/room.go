package limit

import (
	"context"
	"errors"
)

// Room is what the answer of one attempt takes of a [Memory]. It is for one attempt.
type Room struct {
	Memory *Memory
	Source string

	holder *holder // set with the first byte
	size   int64   // counted
	beyond bool    // no more of it is counted
	over   bool    // so is the attempt; who reads on keeps nothing for it
}

var errNoRoom = errors.New("worker: there is no room in memory for the answer")

// Grow has the answer take more. With wait it blocks until there is room, or until ctx ends, and
// returns [context.Cause] then; without, it answers at once, with an error when there is none.
func (a *Room) Grow(ctx context.Context, size int64, wait bool) error {
	m := a.Memory
	for {
		m.mu.Lock()
		freed, done := m.freed, a.grow(size, wait)
		m.mu.Unlock()
		switch {
		case done:
			return nil
		case !wait:
			return errNoRoom
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// grow takes more if it may. The mutex is held.
func (a *Room) grow(size int64, wait bool) bool {
	m := a.Memory
	if a.beyond || a.over {
		return true
	}
	h := a.holder
	if h == nil {
		h = m.holders[a.Source]
	}
	if h == nil {
		h = new(holder)
	}
	room := m.room(h, size)
	if !room && (!wait || m.beyond != nil) {
		return false
	}
	if a.holder == nil {
		a.holder = m.holder(a.Source)
	}
	if !room {
		m.beyond, a.beyond = a, true
		return true
	}
	m.answers += size
	a.holder.answers += size
	a.size += size
	return true
}

// End gives all of it back.
func (a *Room) End() {
	m := a.Memory
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a.over = true
	if a.holder == nil {
		return
	}
	m.answers -= a.size
	a.holder.answers -= a.size
	if m.beyond == a {
		m.beyond = nil
	}
	m.drop(a.Source, a.holder)
	a.holder, a.size, a.beyond = nil, 0, false
	m.serve()
}
