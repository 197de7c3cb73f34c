package auth

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestBackoff_Table is the table of backoff's comment.
func TestBackoff_Table(t *testing.T) {
	t.Parallel()
	s, m := time.Second, time.Minute
	for c, want := range map[class][]time.Duration{
		temporary: {s / 2, s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s, 30 * s, 30 * s},
		heals:     {5 * s, 10 * s, 20 * s, 40 * s, m, m, m, m, m, m},
		permanent: {15 * s, 30 * s, m, 2 * m, 4 * m, 5 * m, 5 * m, 5 * m, 5 * m, 5 * m},
	} {
		for i, w := range want {
			if got := backoff(c, i+1); got != w {
				t.Errorf("%s after %d failures: %s, want %s", c, i+1, got, w)
			}
		}
	}
}

func TestBackoff_NeverFallsAndNeverOverflows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := class(rapid.IntRange(0, 2).Draw(t, "class"))
		n := rapid.IntRange(-5, 1<<40).Draw(t, "n")
		now, next := backoff(c, n), backoff(c, n+1)
		if now <= 0 || next < now || next > 5*time.Minute {
			t.Fatalf("%s after %d: %s, then %s", c, n, now, next)
		}
		if j := jitter(now); j < now/2 || j > now {
			t.Fatalf("jitter made %s of %s", j, now)
		}
	})
}

func TestJitter_Spreads(t *testing.T) {
	t.Parallel()
	low, high := 0, 0
	for range 1000 {
		switch j := jitter(time.Minute); {
		case j < 40*time.Second:
			low++
		case j > 50*time.Second:
			high++
		}
	}
	if low < 200 || high < 200 {
		t.Errorf("%d low and %d high of 1000", low, high)
	}
}
