package worker

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Delay is the upper bound of the wait after the given number of failed attempts: a
// pure function, without jitter. With the defaults:
//
//	attempts   1   2   3   4    5    6    7     8     9     10 …
//	delay      2s  4s  8s  16s  32s  64s  128s  256s  512s  10m
func (r Retry) Delay(attempts int) time.Duration {
	return doubling(r.Initial, r.Max, attempts)
}

// doubling is the n-th step (from 1) of an exponential backoff without jitter.
func doubling(initial, ceiling time.Duration, n int) time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(initial), backoff.WithMaxInterval(ceiling),
		backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0), backoff.WithMaxElapsedTime(0))
	d := b.NextBackOff()
	for i := 1; i < n && d < ceiling; i++ {
		d = b.NextBackOff()
	}
	return min(d, ceiling)
}

// jitter draws evenly from (0, d]: full jitter, which spreads a crowd best.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return 1 + rand.N(d)
}
