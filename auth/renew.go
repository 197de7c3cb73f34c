package auth

import (
	"context"
	"time"
)

// idle is how often Run looks at the tokens when nothing is due.
const idle = time.Hour

// Run keeps the tokens renewed until ctx ends or [Cache.Close] is called, and returns nil then. It
// asks for the first ones at once; an endpoint that is down is not an error. When ctx ends,
// requests that callers wait for may finish within [CacheConfig.MintTimeout]; others are cancelled.
// When Run has returned, none of its goroutines is left. The Cache still serves callers, without
// early renewal.
//
// A second Run at the same time returns [ErrRunning], one after Close [ErrClosed]. In per-request mode there
// is nothing to renew, and Run waits for ctx.
func (c *Cache) Run(ctx context.Context) error {
	c.mu.Lock()
	if c.running {
		c.mu.Unlock()
		return ErrRunning
	}
	if c.life.Err() != nil {
		c.mu.Unlock()
		return ErrClosed
	}
	c.running, c.joined = true, false
	c.own.Add(1)
	c.mu.Unlock()
	defer c.own.Done()
	defer c.join()
	if c.cfg.PerRequest {
		select {
		case <-ctx.Done():
		case <-c.life.Done():
		}
		return nil
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-c.life.Done():
			return nil
		case <-timer.C:
		case <-c.wake:
		}
		timer.Reset(c.renew(time.Now()))
	}
	return nil
}

// Close ends what the Cache does by itself, Run and requests for tokens, and returns nil when
// nothing of it is left. Callers that wait get [ErrClosed], and so do all later ones. Close waits
// for a Minter that does not return when its context ends. Close may be called more than once, but
// not by the Minter.
//
// Close does not close the Minter, since others may use it. [OAuth.CloseIdleConnections] closes the
// connections of one that is no longer needed.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.end(ErrClosed)
	for i := range c.pool {
		c.pool[i].cached.Store(nil)
	}
	c.mu.Unlock()
	c.own.Wait()
	return nil
}

// renew starts what is due and returns the time until something else is.
func (c *Cache) renew(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := idle
	if c.life.Err() != nil {
		return wait
	}
	for i := range c.pool {
		s := &c.pool[i]
		if s.flight != nil {
			continue // its end wakes Run
		}
		due := now
		if l := s.cached.Load(); l != nil {
			due = l.renewAt
		}
		if c.failures > 0 {
			due = later(due, c.nextTry)
		}
		if due.After(now) {
			wait = min(wait, due.Sub(now))
			continue
		}
		c.start(s, now)
	}
	if c.any(now, (*cachedToken).alive) == nil {
		c.noteDown()
	}
	return c.untilEnd(now, wait)
}

// untilEnd shortens a wait to the end of the last token while renewals fail, so
// that the log says so when it happens. c.mu is held.
func (c *Cache) untilEnd(now time.Time, wait time.Duration) time.Duration {
	if c.failures == 0 || c.down {
		return wait
	}
	if l := c.any(now, (*cachedToken).alive); l != nil {
		return min(wait, l.token.Expires.Sub(now))
	}
	return wait
}

// join ends or awaits every flight.
func (c *Cache) join() {
	c.mu.Lock()
	c.joined = true
	var left []*flight
	for i := range c.pool {
		f := c.pool[i].flight
		if f == nil {
			continue
		}
		left = append(left, f)
		if f.waiters == 0 {
			c.abandon(f)
		}
	}
	c.mu.Unlock()
	for _, f := range left {
		<-f.done
	}
	c.mu.Lock()
	c.running = false
	c.mu.Unlock()
}
