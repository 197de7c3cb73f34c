package lease

import (
	"testing"
	"time"
)

// The ticker of a process that was suspended beats twice within moments of its going on:
// the second beat must not pass for a sign that it has been running.
func TestPulse_AGapLastsUntilTheBuffersAreEmpty(t *testing.T) {
	const period = 3 * time.Second
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := newPulse(period, at)
	for _, c := range []struct {
		later time.Duration
		ran   bool
	}{
		{period, true}, {period + time.Second, true}, {period - time.Second, true},
		{40 * time.Second, false}, {10 * time.Millisecond, false}, {period, false}, {period, false}, {period, false}, {period, false}, {period, true},
		{time.Minute, false}, {time.Millisecond, false}, {time.Minute, false}, {time.Millisecond, false}, {5 * time.Second, false},
		{5 * time.Second, false}, {5 * time.Second, true}, {2 * period, false},
	} {
		at = at.Add(c.later)
		if ran := p.beat(at); ran != c.ran {
			t.Errorf("%v later: ran %v, want %v", c.later, ran, c.ran)
		}
	}
}
