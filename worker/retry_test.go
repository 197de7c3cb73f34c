package worker

import (
	"testing"
	"time"
)

func TestRetry_DelayTable(t *testing.T) {
	t.Parallel()
	r := Config{}.WithDefaults().Retry
	want := []time.Duration{2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600}
	for i, seconds := range want {
		if got := r.Delay(i + 1); got != seconds*time.Second {
			t.Errorf("after %d attempts: %v, want %v", i+1, got, seconds*time.Second)
		}
	}
	if got := r.Delay(1 << 30); got != r.Max {
		t.Errorf("after very many attempts: %v, want the cap %v", got, r.Max)
	}
}

func TestJitter_StaysInRangeAndSpreads(t *testing.T) {
	t.Parallel()
	const d = time.Second
	var low, high int
	for range 2000 {
		got := jitter(d)
		if got <= 0 || got > d {
			t.Fatalf("jitter(%v) = %v", d, got)
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
	if jitter(0) != 0 {
		t.Error("no delay must stay no delay")
	}
}
