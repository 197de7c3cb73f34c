// Package backoff says how long to wait before something is tried again, and waits.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Exponential returns the n-th wait, counted from 1, of an exponential backoff without
// jitter: initial, doubled at each step, at most ceiling.
func Exponential(initial, ceiling time.Duration, n int) time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(initial), backoff.WithMaxInterval(ceiling),
		backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0), backoff.WithMaxElapsedTime(0))
	d := b.NextBackOff()
	for i := 1; i < n && d < ceiling; i++ {
		d = b.NextBackOff()
	}
	return min(d, ceiling)
}

// FullJitter draws evenly from (0, d], which spreads a crowd best. Without a wait it
// returns 0.
func FullJitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return 1 + rand.N(d)
}

// Sleep waits for d or until ctx ends. It reports whether d has passed.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
