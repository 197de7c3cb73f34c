package limit

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// A source alone may use all; one that comes has its share at once, whatever the first one's
// far side does; and no more than half as many again are in flight.
func TestSlots_SharesAreHadAtOnce(t *testing.T) {
	t.Parallel()
	s := NewSlots(64)
	if n := s.TryAcquire("hangs", Send, 1000); n != 64 {
		t.Errorf("a source alone has %d of 64 slots", n)
	}
	if n := s.TryAcquire("b", Send, 1000); n != 32 {
		t.Errorf("b has %d slots, want its share of 32", n)
	}
	if n := s.TryAcquire("c", Send, 1000); n != 1 || s.InUse() != 97 {
		t.Errorf("c has %d slots, %d in use; want one beyond 96", n, s.InUse())
	}
	if !s.Full("b", Send) || s.Full("d", Send) {
		t.Error("b is full, d is not")
	}
	for range 40 {
		s.Release("hangs", Send)
	}
	if n := s.TryAcquire("hangs", Send, 1); n != 1 { // 24 + 32 + 1 are in use
		t.Errorf("what nobody has is not to be had: %d", n)
	}
}

// However many sources hold all that they may, each of the others has its first slot at once.
func TestSlots_TheFirstIsHadAtOnce(t *testing.T) {
	t.Parallel()
	for _, sources := range []int{1, 2, 33, 300, 5000} {
		s := NewSlots(64)
		for i := range sources {
			for _, class := range []Class{Send, Request} {
				if n := s.TryAcquire(fmt.Sprint("s", i), class, 1); n != 1 {
					t.Fatalf("%d sources: class %d of source %d has no slot", sources, class, i)
				}
			}
			s.TryAcquire(fmt.Sprint("s", i), Send, 1000)
		}
		if n := s.InUse(); n > 96+2*sources {
			t.Errorf("%d sources: %d in flight", sources, n)
		}
	}
}

// What a source holds of one class leaves the other its share.
func TestSlots_ClassesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	for _, hangs := range []Class{Send, Request} {
		s := NewSlots(64)
		s.TryAcquire("a", hangs, 1000)
		if n := s.TryAcquire("a", 1-hangs, 1000); n != 32 {
			t.Errorf("class %d hangs, and the other has %d slots, want its share", hangs, n)
		}
	}
}

// Who has fewest is next, then REQUESTs, then in turn.
func TestSlots_WhoIsNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(4)
		ctx := t.Context()
		s.TryAcquire("c", Send, 4)
		s.TryAcquire("b", Request, 1)
		for _, name := range []string{"a", "b"} {
			s.TryAcquire(name, Send, 1)
		}
		order := make(chan string, 5)
		for _, x := range []struct {
			source string
			class  Class
		}{{"c", Send}, {"a", Send}, {"a", Send}, {"b", Send}, {"b", Request}} {
			go func() {
				if n := s.Acquire(ctx, x.source, x.class, 3); n != 1 {
					t.Errorf("%d slots, want the one that came free", n)
				}
				order <- fmt.Sprint(x.source, x.class)
			}()
			synctest.Wait()
		}
		if !s.HadWaiters() {
			t.Error("five wait and nobody noticed")
		}
		for range 2 { // then c has two, and each of the others one: beyond the size
			s.Release("c", Send)
		}
		var got []string
		for len(got) < 5 {
			s.Resize(s.InUse() + 1)
			got = append(got, <-order)
			synctest.Wait()
		}
		if got, want := strings.Join(got, " "), "b1 a0 b0 c0 a0"; got != want {
			t.Errorf("slots went to %q, want %q", got, want)
		}
		if s.HadWaiters(); s.HadWaiters() {
			t.Error("nobody waits any more")
		}
	})
}

func TestSlots_CancelledWaiterLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1)
		s.TryAcquire("a", Send, 1)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan int, 3)
		for _, ctx := range []context.Context{t.Context(), ctx, t.Context()} {
			go func() { got <- s.Acquire(ctx, "a", Send, 1) }()
			synctest.Wait()
		}
		cancel()
		if <-got != 0 {
			t.Error("a cancelled waiter got a slot")
		}
		for range 2 {
			s.Release("a", Send)
			if <-got != 1 {
				t.Error("the slot was lost with a waiter")
			}
		}
		s.Release("a", Send)
		s.unused(t)
	})
}

// Whatever is taken and given back in whatever order, the bounds hold, nobody waits who need
// not, and nothing leaks.
func TestSlots_Accounting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 40).Draw(t, "size")
		names := []string{"a", "b", "c", "d"}[:rapid.IntRange(1, 4).Draw(t, "sources")]
		s := NewSlots(size)
		held := map[unitKey]int{}
		total := 0
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			key := unitKey{rapid.SampledFrom(names).Draw(t, "source"), Class(rapid.IntRange(0, 1).Draw(t, "class"))}
			if rapid.Bool().Draw(t, "acquire") {
				want := rapid.IntRange(1, 8).Draw(t, "want")
				n := s.TryAcquire(key.source, key.class, want)
				held[key] += n
				total += n
				if n < want && total < size || held[key] == 0 {
					t.Fatalf("%v has %d of %d wanted with %d of %d in use", key, n, want, total, size)
				}
			} else if held[key] > 0 {
				s.Release(key.source, key.class)
				held[key]--
				total--
			}
			if n := s.InUse(); n != total || n > size+size/2+2*len(names) {
				t.Fatalf("%d in use, %d held, size %d", n, total, size)
			}
		}
		for key, n := range held {
			for range n {
				s.Release(key.source, key.class)
			}
		}
		s.unused(t)
	})
}

// Those who wait and leave at any moment take nothing with them.
func TestSlots_Crowd(t *testing.T) {
	t.Parallel()
	s := NewSlots(3)
	done := make(chan int)
	for i := range 16 {
		go func() {
			for k := range 200 {
				ctx, cancel := context.WithCancel(context.Background())
				if k%3 == i%3 {
					go cancel()
				}
				for range s.Acquire(ctx, fmt.Sprint(i%4), Class(i%2), 1+k%4) {
					s.Release(fmt.Sprint(i%4), Class(i%2))
				}
				cancel()
			}
			done <- i
		}()
	}
	for range 16 {
		<-done
	}
	s.unused(t)
}

func (s *Slots) unused(t interface{ Errorf(string, ...any) }) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inUse != 0 || len(s.units) != 0 || len(s.queue) != 0 {
		t.Errorf("left over: %d in use, %d sources, %d wait", s.inUse, len(s.units), len(s.queue))
	}
}

// A lower size takes no slot away; a higher one lets in who waits.
func TestSlots_Resizing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(8)
		s.TryAcquire("a", Send, 8)
		s.Resize(4)
		got := make(chan int, 1)
		go func() { got <- s.Acquire(t.Context(), "a", Send, 5) }()
		for range 4 {
			s.Release("a", Send)
		}
		synctest.Wait()
		if len(got) > 0 {
			t.Error("a fifth slot of four was given out")
		}
		s.Resize(6)
		if n := <-got; n != 2 || s.InUse() != 6 || s.Size() != 6 {
			t.Errorf("%d slots of a higher size, %d in use", n, s.InUse())
		}
	})
}
