package auth

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/guard"
)

// class is how a failed request for a token is to be retried.
type class int

const (
	temporary class = iota // no answer, busy, failing: soon
	heals                  // a refusal that may end by itself: slowly
	permanent              // a refusal that needs another configuration: more slowly
)

// String returns the class as metrics name it.
func (c class) String() string {
	return [...]string{"temporary", "heals", "permanent"}[c]
}

// classOf says how a failed request for a token is to be retried.
func classOf(err error) (c class) {
	var e interface { // Temporary alone is a method of package net, and says little there
		error
		Temporary() bool
		Heals() bool
	}
	_ = guard.Call("the error", func() {
		switch {
		case !errors.As(err, &e) || e.Temporary():
		case e.Heals():
			c = heals
		default:
			c = permanent
		}
	})
	return c
}

// backoff returns the wait after the n-th failure in a row, n from 1, before
// jitter:
//
//	n          1     2     3     4     5     6     7      8     9    10
//	temporary  0.5s  1s    2s    4s    8s    16s   30s    30s   30s  30s
//	heals      5s    10s   20s   40s   1m    1m    1m     1m    1m   1m
//	permanent  15s   30s   1m    2m    4m    5m    5m     5m    5m   5m
func backoff(c class, n int) time.Duration {
	first, most := 500*time.Millisecond, 30*time.Second
	switch c {
	case heals:
		first, most = 5*time.Second, time.Minute
	case permanent:
		first, most = 15*time.Second, 5*time.Minute
	}
	n = min(max(n, 1), 10) // 2^9 steps are past every cap
	return min(first<<(n-1), most)
}

// jitter returns a random wait between half of d and d.
func jitter(d time.Duration) time.Duration {
	return d - rand.N(d/2+1)
}
