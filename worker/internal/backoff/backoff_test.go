package backoff

import (
	"testing"
	"time"
)

func TestFullJitter_StaysInRangeAndSpreads(t *testing.T) {
	t.Parallel()
	const d = time.Second
	var low, high int
	for range 2000 {
		got := FullJitter(d)
		if got <= 0 || got > d {
			t.Fatalf("FullJitter(%v) = %v", d, got)
		}
		if got < d/4 {
			low++
		}
		if got > 3*d/4 {
			high++
		}
	}
	if low < 300 || high < 300 {
		t.Errorf("%d of 2000 in the lowest quarter and %d in the highest, want about 500 each", low, high)
	}
	if FullJitter(0) != 0 {
		t.Error("no delay must stay no delay")
	}
}

func TestExponential_BeginsWithTheFirstWaitAndEndsAtTheCeiling(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]time.Duration{-1: 3, 0: 3, 1: 3, 2: 6, 3: 12, 4: 20, 5: 20, 1 << 30: 20} {
		if got := Exponential(3*time.Second, 20*time.Second, n); got != want*time.Second {
			t.Errorf("wait %d: %v, want %v", n, got, want*time.Second)
		}
	}
	if got := Exponential(time.Minute, time.Second, 1); got != time.Second {
		t.Errorf("a first wait above the ceiling: %v, want 1s", got)
	}
}
