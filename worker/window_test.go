package worker

import (
	"testing"
	"testing/synctest"
	"time"
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
