package httpwire

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// dialSlots bound the connections to one address that are being opened at one time. They are
// few at first. Each that was opened allows for one more, so that a host that copes with them
// has a thousand after some handshakes, and one that does not is not overrun.
type dialSlots struct {
	first, most int
	failed      int // how many there are after a failure

	mu    sync.Mutex
	size  int // how many there are now
	busy  int
	queue []chan struct{}
}

func newDialSlots(first, most, failed int) *dialSlots {
	return &dialSlots{first: first, most: max(first, most), failed: failed, size: first}
}

// acquire waits for a slot, in the order of the calls.
func (s *dialSlots) acquire(ctx context.Context) error {
	s.mu.Lock()
	if s.busy < s.size {
		s.busy++
		s.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	s.queue = append(s.queue, turn)
	s.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, waits := range s.queue {
		if waits == turn {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			return context.Cause(ctx)
		}
	}
	s.next() // it was given meanwhile
	return context.Cause(ctx)
}

// dialEnd is what became of a slot's connection.
type dialEnd uint8

const (
	dialUnneeded dialEnd = iota // it was not opened
	dialOpened
	dialFailed
)

// release gives a slot back.
func (s *dialSlots) release(end dialEnd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch end {
	case dialOpened:
		s.size = min(s.size+1, s.most)
	case dialFailed:
		s.size = s.failed
	}
	s.next()
}

// next passes a slot on. Where nobody wants one, the next crowd begins with few again. The
// mutex is held.
func (s *dialSlots) next() {
	s.busy--
	for s.busy < s.size && len(s.queue) > 0 {
		close(s.queue[0])
		s.queue = s.queue[1:]
		s.busy++
	}
	if s.busy == 0 {
		s.size, s.queue = s.first, nil
	}
}

// need is a request's need of a connection. It is in the context of the request, and so in
// those of the connections that net/http opens for it. net/http goes on to open one when the
// request was given another that became free.
type need struct {
	context.Context
	met atomic.Bool
}

type needKey struct{}

// Value finds the need itself.
func (n *need) Value(key any) any {
	if key == (needKey{}) {
		return n
	}
	return n.Context.Value(key)
}

// needed reports whether the request that a connection is opened for still waits for one. It
// does where nothing is known of it.
func needed(ctx context.Context) bool {
	n, ok := ctx.Value(needKey{}).(*need)
	return !ok || !n.met.Load() && n.Err() == nil
}

// errUnneeded is returned to nobody: the request has a connection, or has ended.
var errUnneeded = errors.New("redox: the connection is not needed any more")
