package auth

import (
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/guard"
)

// counts are what a Cache has done since it was made. Guarded by Cache.mu.
type counts struct{ mints, failed, invalidations uint64 }

// Status is what a [Cache] says about itself; it holds no secret and is fit for
// a readiness page.
type Status struct {
	// Name is the cache's.
	Name string `json:"name"`
	// Usable reports whether a caller gets a token now: one is at hand, or no request for one has
	// failed.
	Usable bool `json:"usable"`
	// Tokens is how many live tokens are kept.
	Tokens int `json:"tokens"`
	// Expires is the end of the token that lives longest, zero without one.
	Expires time.Time `json:"expires,omitzero"`
	// Failures is how many requests failed since one succeeded.
	Failures int `json:"failures"`
	// Error is why the last request failed, "" after a success.
	Error string `json:"error,omitempty"`
	// Mend is what a person can do about it, "" when waiting is all.
	Mend string `json:"mend,omitempty"`
	// NextTry is when the endpoint is asked again, zero without a failure.
	NextTry time.Time `json:"next_try,omitzero"`
	// KeyID is the kid in use, "" for legacy keys.
	KeyID string `json:"kid,omitempty"`
	// Skew is how far the local clock is ahead of the endpoint's, in
	// nanoseconds; 0 before the first answer.
	Skew time.Duration `json:"skew_ns"`
	// Mints, Failed and Invalidations count since the Cache was made: tokens
	// obtained, requests that failed, tokens dropped on the API's refusal.
	Mints         uint64 `json:"mints"`
	Failed        uint64 `json:"failed"`
	Invalidations uint64 `json:"invalidations"`
}

// Status returns the present state. It makes no request and does not block.
func (c *Cache) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{
		Name: c.cfg.Name, Failures: c.failures, NextTry: c.nextTry,
		Mints: c.counts.mints, Failed: c.counts.failed, Invalidations: c.counts.invalidations,
	}
	now := time.Now()
	for i := range c.pool {
		if l := c.pool[i].cached.Load(); l.alive(now) {
			s.Tokens++
			s.Expires = later(s.Expires, l.token.Expires)
		}
	}
	s.Usable = s.Tokens > 0 || c.failures == 0
	if c.lastErr != nil {
		s.Error, s.Mend = c.lastErr.Error(), mendOf(c.lastErr)
	}
	if m, ok := c.minter.(interface{ Skew() (time.Duration, bool) }); ok {
		_ = guard.Call("the minter", func() { s.Skew, _ = m.Skew() })
	}
	if m, ok := c.minter.(interface{ KeyInUse() Key }); ok {
		_ = guard.Call("the minter", func() { s.KeyID = m.KeyInUse().ID() })
	}
	return s
}
