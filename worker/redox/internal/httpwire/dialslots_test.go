package httpwire

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// A thousand connections with handshakes of 100 ms are open after a second, and never are more
// than an eighth of them being opened.
func TestDialSlots_ColdStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		callers     int
		least, most time.Duration
		once        int32
	}{
		{64, 300 * time.Millisecond, 400 * time.Millisecond, 16}, {1000, 500 * time.Millisecond, 1200 * time.Millisecond, 125},
		{10_000, time.Second, 1500 * time.Millisecond, 1250},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newDialSlots(16, tc.callers/8, 16)
			var now, once, early atomic.Int32
			start := time.Now()
			var all sync.WaitGroup
			for range tc.callers {
				all.Go(func() {
					if err := s.acquire(t.Context()); err != nil {
						t.Error(err)
					}
					if n := now.Add(1); n > once.Load() {
						once.Store(n)
					}
					if time.Since(start) < 100*time.Millisecond {
						early.Add(1)
					}
					bubble.Sleep(100 * time.Millisecond)
					now.Add(-1)
					s.release(dialOpened)
				})
			}
			all.Wait()
			if took := time.Since(start); took < tc.least || took > tc.most || once.Load() > tc.once || early.Load() != 16 {
				t.Errorf("%d connections in %v, %d at once, %d at first", tc.callers, took, once.Load(), early.Load())
			}
			if s.size != 16 || s.busy != 0 || len(s.queue) != 0 {
				t.Errorf("afterwards %d slots, %d in use, %d waiting", s.size, s.busy, len(s.queue))
			}
		})
	}
}

// Where connections cannot be opened there are no more at one time than at first.
func TestDialSlots_Failures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newDialSlots(4, 100, 4)
		var now, once atomic.Int32
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(i))
				defer cancel()
				if s.acquire(ctx) != nil {
					return
				}
				if n := now.Add(1); n > once.Load() {
					once.Store(n)
				}
				bubble.Sleep(10 * time.Second)
				now.Add(-1)
				s.release([]dialEnd{dialFailed, dialUnneeded}[i%2])
			})
		}
		all.Wait()
		if n := once.Load(); n != 4 {
			t.Errorf("%d at once", n)
		}
		if s.busy != 0 || len(s.queue) != 0 {
			t.Errorf("%d in use, %d waiting", s.busy, len(s.queue))
		}
	})
}

func TestNeeded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	n := &need{Context: ctx}
	for _, tc := range []struct {
		what string
		do   func()
		want bool
	}{
		{"it waits", func() {}, true}, {"it has one", func() { n.met.Store(true) }, false},
		{"it waits again", func() { n.met.Store(false) }, true}, {"it has ended", cancel, false},
	} {
		tc.do()
		if got := needed(context.WithoutCancel(n)); got != tc.want {
			t.Errorf("%s: %v", tc.what, got)
		}
	}
	if !needed(t.Context()) {
		t.Error("a connection that nothing is known of is not needed")
	}
	d := &dialer{first: 1}
	if _, err := d.dial(context.WithoutCancel(n), "tcp", "127.0.0.1:1"); !errors.Is(err, errUnneeded) {
		t.Error(err)
	}
}

func TestDialer_WaitingForASlotEndsWithTheContext(t *testing.T) {
	t.Parallel()
	d := &dialer{first: 1}
	if err := d.slotsOf("127.0.0.1:1").acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.dial(ctx, "tcp", "127.0.0.1:1"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := d.dialTLS(ctx, "tcp", "127.0.0.1:1"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
