package auth

import (
	"errors"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/guard"
)

// succeeded forgets failures. c.mu is held.
func (c *Cache) succeeded(l *cachedToken) {
	c.counts.mints++
	if c.failures > 0 || c.down {
		c.cfg.Logger.Info("tokens can be had again", "key", c.cfg.Name, "failures", c.failures, "expires", l.token.Expires)
	}
	c.failures, c.lastErr, c.nextTry = 0, nil, time.Time{}
	if c.down {
		c.down = false
		c.observe(true)
	}
}

// failed remembers a failure and when to ask again. What the server asks for
// lengthens the wait and never shortens it. Of requests that were under way
// together the first failure counts; from then on only the probe's does. c.mu is
// held.
func (c *Cache) failed(err error, probe bool) {
	now := time.Now()
	c.counts.failed++
	if c.failures > 0 && !probe {
		return
	}
	c.failures++
	c.lastErr = err
	wait := jitter(backoff(classOf(err), c.failures))
	wait = max(wait, askedToWait(err))
	c.nextTry = now.Add(wait)
	if c.any(now, (*cachedToken).alive) == nil {
		c.noteDown()
		return
	}
	if c.failures == 1 {
		c.cfg.Logger.Warn("a token could not be renewed, the present one serves until its end", "key", c.cfg.Name, "class", classOf(err).String(), "error", err, "next_try", c.nextTry)
	}
}

// askedToWait is what the error wants, within bounds.
func askedToWait(err error) (wait time.Duration) {
	var e interface {
		error
		RetryAfter() time.Duration
	}
	if errors.As(err, &e) {
		_ = guard.Call("the error", func() { wait = e.RetryAfter() })
	}
	return min(wait, maxRetryAfter)
}

const (
	// youngAge is the age at which a token was just made.
	youngAge = 10 * time.Second
	// youngFree is how many of them in a row may be refused without a wait: a
	// request, its replay, and the same once more.
	youngFree = 4
	// youngRow is the longest time between two refusals of one row.
	youngRow = 2 * time.Minute
)

// refused notes that the API refused a token. A key of another environment gets
// tokens that no API takes: without a wait each message would cost two requests
// for tokens. c.mu is held.
func (c *Cache) refused(l *cachedToken, now time.Time) {
	if now.Sub(l.token.IssuedAt) > youngAge || now.Sub(c.youngAt) > youngRow {
		c.young = 0
	}
	if now.Sub(l.token.IssuedAt) > youngAge {
		return
	}
	c.young++
	c.youngAt = now
	if c.young <= youngFree {
		return
	}
	c.failures, c.lastErr = max(c.failures, 1), ErrRefused
	c.nextTry = later(c.nextTry, now.Add(jitter(backoff(temporary, c.young-youngFree))))
	c.noteDown()
}

// noteDown logs that there is no token: once, and again when it turns out that this is not
// because none could be asked for. c.mu is held.
func (c *Cache) noteDown() {
	waits := unasked(c.lastErr) != nil
	if c.lastErr == nil || c.down && (waits || !c.unasked) {
		return
	}
	if !c.down {
		defer c.observe(false)
	}
	c.down, c.unasked = true, waits
	if waits {
		c.cfg.Logger.Warn("there is no token, and none can be asked for: requests wait", "key", c.cfg.Name, "error", c.lastErr, "next_try", c.nextTry)
		return
	}
	c.cfg.Logger.Error("there is no token: requests wait until one can be had", "key", c.cfg.Name, "class", classOf(c.lastErr).String(), "error", c.lastErr, "next_try", c.nextTry)
}

// retryTime returns when the endpoint is asked again.
func (c *Cache) retryTime() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nextTry
}
