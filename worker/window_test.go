package worker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/internal/breaker"
	"github.com/redoxworker/redoxworker/worker/internal/limit"
)

// The bound must never be later than the true delivery: message n is asked for only when
// callback n−size has returned.
func TestWindow_BoundsTheAgeOfBufferedMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size, slow = 3, 10 * time.Second
		opened := time.Now()
		w := newWindow(size, opened)
		for n := range 12 {
			since := w.begin(opened)
			// Callback n begins at n·slow; callback n−size returned at (n−size+1)·slow.
			want := opened.Add(time.Duration(max(0, n-size+1)) * slow)
			if !since.Equal(want) {
				t.Errorf("message %d: delivered at %v at the earliest, want %v", n, since.Sub(opened), want.Sub(opened))
			}
			time.Sleep(slow)
			w.end()
		}
	})
}

func TestWindow_IdleMessagesAreFresh(t *testing.T) {
	t.Parallel()
	opened := time.Now()
	w := newWindow(64, opened)
	alive := opened.Add(time.Hour)
	if got := w.begin(alive); !got.Equal(alive) {
		t.Errorf("after an idle hour: delivered at %v at the earliest, want when the process was last seen idle", got.Sub(opened))
	}
	w.end()
	w.last = alive.Add(time.Second)
	if got := w.begin(alive); !got.Equal(alive) {
		t.Errorf("soon after: delivered at %v at the earliest, want when the buffer was last known to be empty", got.Sub(opened))
	}
	// Suspended for an hour, the process has not been seen running since: what it finds
	// in its buffer may be an hour old.
	w.end()
	w.last = alive.Add(2 * time.Second)
	if got := w.begin(alive); !got.Equal(alive) {
		t.Errorf("after a suspension: delivered at %v at the earliest, want before the suspension", got.Sub(opened))
	}
}

// A window is ended when one that is opened now would be of another size by far, and not
// whenever a limit that is larger than any window changes.
func TestPullWindow_EndsWhenItIsOutOfProportion(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		from, to int
		ends     bool
	}{{64, 100, false}, {64, 300, true}, {64, 10, true}, {8000, 9000, false}, {8000, 600, false}, {8000, 100, true}, {100, 8000, true}} {
		w := &Worker{slots: limit.NewSlots(tc.from)}
		i := newInterrupts(nil, breaker.New(map[string][]string{"clinic-a": nil}, 5, func(breaker.Change) {}))
		pulling, stop := i.watchWindow(t.Context(), "clinic-a", untilPause, w.pullWindow())
		w.slots.Resize(tc.to)
		i.resized(w.pullWindow())
		if ended := pulling.Err() != nil; ended != tc.ends {
			t.Errorf("from %d to %d in flight: ended %t, want %t", tc.from, tc.to, ended, tc.ends)
		}
		stop()
	}
}
