package worker

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/redoxworker/redoxworker/outbox"
)

func TestSlots_GuaranteeLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	s := newSlots(8, 2) // 2 guaranteed each, 4 common
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	taken := 0
	for s.acquire(ended, "a", outbox.LaneSend) {
		taken++
	}
	if taken != 6 {
		t.Errorf("source a took %d slots, want 6: its guarantee and everything common", taken)
	}
	for i := range 2 {
		if !s.acquire(ended, "b", outbox.LaneSend) {
			t.Errorf("slot %d of b's guarantee was taken by a", i)
		}
	}
	if s.acquire(ended, "b", outbox.LaneSend) {
		t.Error("b got a slot beyond the limit")
	}
}

func TestSlots_WaitersTakeTurnsBySource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1, 2) // no guarantees: one common slot
		ctx := t.Context()
		if !s.acquire(ctx, "first", outbox.LaneSend) {
			t.Fatal("no slot")
		}
		var order []string
		for _, source := range []string{"a", "a", "a", "b", "b"} {
			go func() {
				s.acquire(ctx, source, outbox.LaneSend)
				order = append(order, source) // one holder at a time
				s.release(source)
			}()
			synctest.Wait()
		}
		s.release("first")
		synctest.Wait()
		if got, want := strings.Join(order, " "), "a b a b a"; got != want {
			t.Errorf("slots went to %q, want %q", got, want)
		}
		if n := s.inUse(); n != 0 {
			t.Errorf("%d slots in use at the end", n)
		}
	})
}

func TestSlots_CancelledWaiterLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1, 1)
		s.acquire(t.Context(), "a", outbox.LaneSend)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan bool, 1)
		go func() { got <- s.acquire(ctx, "a", outbox.LaneSend) }()
		synctest.Wait()
		cancel()
		if <-got {
			t.Error("a cancelled waiter got a slot")
		}
		s.release("a")
		if !s.acquire(t.Context(), "a", outbox.LaneSend) {
			t.Error("the slot was lost with its waiter")
		}
	})
}

// Whatever is taken and given back in whatever order, the limit holds and nothing leaks.
func TestSlots_Accounting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 40).Draw(t, "limit")
		names := []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "sources")]
		s := newSlots(limit, len(names))
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		var held []string
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			source := rapid.SampledFrom(names).Draw(t, "source")
			if rapid.Bool().Draw(t, "acquire") {
				if s.acquire(ended, source, outbox.LaneSend) {
					held = append(held, source)
				} else if len(held) < limit/2 {
					t.Fatalf("%s was refused with %d of %d slots in use", source, len(held), limit)
				}
			} else if len(held) > 0 {
				s.release(held[0])
				held = held[1:]
			}
			if n := s.inUse(); n != len(held) || n > limit {
				t.Fatalf("%d slots in use, %d held, limit %d", n, len(held), limit)
			}
		}
		for _, source := range held {
			s.release(source)
		}
		if want := limit - s.guarantee*len(names); s.common != want {
			t.Fatalf("%d common slots at the end, want %d", s.common, want)
		}
	})
}

// REQUESTs go before SENDs of whatever source; a limit that changes takes no slot away.
func TestSlots_RequestsFirstAndResizing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1, 2)
		ctx := t.Context()
		s.acquire(ctx, "a", outbox.LaneSend)
		var order []string
		for _, x := range []struct {
			source string
			lane   outbox.Lane
		}{{"a", outbox.LaneSend}, {"b", outbox.LaneOrdered}, {"a", outbox.LaneRequest}, {"b", outbox.LaneRequest}} {
			go func() {
				s.acquire(ctx, x.source, x.lane)
				order = append(order, x.source+" "+string(x.lane))
				s.release(x.source)
			}()
			synctest.Wait()
		}
		if !s.hadWaiters() {
			t.Error("four wait and nobody noticed")
		}
		s.release("a")
		synctest.Wait()
		if got, want := strings.Join(order, ", "), "a request, b request, a send, b ordered"; got != want {
			t.Errorf("slots went to %s, want %s", got, want)
		}

		s = newSlots(8, 1)
		for range 8 {
			s.acquire(ctx, "a", outbox.LaneSend)
		}
		s.resize(4)
		got := make(chan bool, 1)
		go func() { got <- s.acquire(ctx, "a", outbox.LaneSend) }()
		for range 4 {
			s.release("a")
		}
		synctest.Wait()
		if len(got) > 0 {
			t.Error("a fifth slot of four was given out")
		}
		s.release("a")
		synctest.Wait()
		if len(got) != 1 || s.inUse() != 4 {
			t.Errorf("%d slots in use, want the four", s.inUse())
		}
		s.resize(6)
		if !s.acquire(ctx, "a", outbox.LaneSend) || s.size() != 6 {
			t.Error("a higher limit gives no more slots")
		}
	})
}
