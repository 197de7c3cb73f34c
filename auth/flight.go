package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/guard"
)

// errAbandoned ends a flight that nobody waits for when Run stops.
var errAbandoned = errors.New("nobody waits for the token any more")

// errNoReturn is the failure of a Minter that ended its goroutine.
var errNoReturn = errors.New("auth: the minter did not return")

// flight is one call of the Minter that any number of callers wait for. Its
// result is set before done is closed.
type flight struct {
	of       *pooled
	age      int // Cache.age when it began
	done     chan struct{}
	cancel   context.CancelCauseFunc
	waiters  int // guarded by Cache.mu
	cached   *cachedToken
	err      error
	outdated bool // Renew was called meanwhile
}

// obtain is the slow path: the token is missing, stale or due for
// renewal.
func (c *Cache) obtain(ctx context.Context, s *pooled) (*cachedToken, error) {
	for {
		l, f, err := c.joinOrStart(s, time.Now())
		if f == nil {
			return l, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			c.leave(f)
			return nil, fmt.Errorf("auth: waiting for a token: %w", context.Cause(ctx))
		case <-c.life.Done():
		}
		c.leave(f)
		if c.life.Err() != nil {
			return nil, ErrClosed
		}
		if f.err == nil {
			return f.cached, nil
		}
		if f.outdated {
			continue // it failed with what Renew has replaced since
		}
		if l := c.any(time.Now(), (*cachedToken).alive); l != nil {
			return l, nil
		}
		return nil, &NoTokenError{Cause: f.err, NextTry: c.retryTime()}
	}
}

// joinOrStart returns a cached token that serves now, or a flight to wait for, or neither
// and why. It starts the renewal that is due.
func (c *Cache) joinOrStart(s *pooled, now time.Time) (*cachedToken, *flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return nil, nil, ErrClosed
	}
	l := s.cached.Load()
	if l.fresh(now) {
		return l, nil, nil // somebody else was faster
	}
	f := c.start(s, now)
	if l.good(now) {
		return l, nil, nil
	}
	if other := c.any(now, (*cachedToken).good); other != nil {
		return other, nil, nil
	}
	if f != nil {
		f.waiters++
		return nil, f, nil
	}
	if last := c.any(now, (*cachedToken).alive); last != nil {
		return last, nil, nil
	}
	c.noteDown()
	return nil, nil, &NoTokenError{Cause: c.lastErr, NextTry: c.nextTry}
}

// any returns a cached token of the pool that passes, the one that lives longest.
func (c *Cache) any(now time.Time, passes func(*cachedToken, time.Time) bool) *cachedToken {
	var best *cachedToken
	for i := range c.pool {
		l := c.pool[i].cached.Load()
		if passes(l, now) && (best == nil || l.token.Expires.After(best.token.Expires)) {
			best = l
		}
	}
	return best
}

// start returns the flight that will fill s, a new one if need be. After
// failures there is none until the wait is over, and then one for the whole pool. c.mu
// is held.
func (c *Cache) start(s *pooled, now time.Time) *flight {
	if s.flight != nil {
		return s.flight
	}
	if c.failures > 0 {
		if c.probe != nil {
			return c.probe
		}
		if now.Before(c.nextTry) {
			return nil
		}
	}
	ctx, cancel := context.WithCancelCause(c.life)
	f := &flight{of: s, age: c.age, done: make(chan struct{}), cancel: cancel}
	s.flight = f
	if c.failures > 0 {
		c.probe = f
	}
	c.flying++
	c.own.Go(func() { c.fly(ctx, f) })
	return f
}

// fly calls the Minter and shares the result. A Minter that ends the goroutine
// (a test's FailNow) releases the waiters too.
func (c *Cache) fly(ctx context.Context, f *flight) {
	begun := time.Now()
	var t Token
	err := errNoReturn
	defer func() {
		f.cancel(nil)
		f.cached, f.err = c.accept(ctx, t, err, begun)
		c.finish(ctx, f)
	}()
	t, err = c.mint(ctx)
}

func (c *Cache) mint(ctx context.Context) (Token, error) {
	cause := fmt.Errorf("no token after %s", c.cfg.MintTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.MintTimeout, cause)
	defer cancel()
	t, err := c.ask(ctx)
	if err != nil && unasked(err) == nil && errors.Is(context.Cause(ctx), cause) {
		err = fmt.Errorf("auth: %w: %w", cause, unprefixed(err))
	}
	return t, err
}

// ask calls the Minter. A panic is an error like any other.
func (c *Cache) ask(ctx context.Context) (t Token, err error) {
	defer func() { c.note(err) }()
	defer guard.Recover("the minter", &err)
	return c.minter.Mint(ctx)
}

// accept makes a cached token of what the Minter returned, and counts it.
func (c *Cache) accept(ctx context.Context, t Token, err error, begun time.Time) (*cachedToken, error) {
	now := time.Now()
	var l *cachedToken
	if err == nil {
		l, err = newCachedToken(t, begun, now)
	}
	if abandoned(ctx, err) {
		return nil, err
	}
	if err != nil {
		c.meter.minted(classOf(err).String(), now.Sub(begun))
		return nil, err
	}
	c.meter.minted("ok", now.Sub(begun))
	return l, nil
}

// abandoned reports whether the flight failed because Run or Close ended it.
func abandoned(ctx context.Context, err error) bool {
	cause := context.Cause(ctx)
	return err != nil && (errors.Is(cause, errAbandoned) || errors.Is(cause, ErrClosed))
}

// finish puts the cached token into its place, remembers a failure, and lets go of the
// waiters.
func (c *Cache) finish(ctx context.Context, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying--
	if f.of.flight == f {
		f.of.flight = nil
	}
	probe := c.probe == f
	if probe {
		c.probe = nil
	}
	f.outdated = f.age != c.age
	switch {
	case c.life.Err() != nil: // nobody gets it any more
	case f.err == nil && f.outdated:
		f.of.cached.Store(f.cached.due(time.Now()))
		c.succeeded(f.cached)
	case f.err == nil:
		f.of.cached.Store(f.cached)
		c.succeeded(f.cached)
	case !f.outdated && !abandoned(ctx, f.err):
		c.failed(f.err, probe)
	}
	close(f.done)
	c.signal()
}

// leave takes a waiter off its flight. When Run has returned, a flight that
// nobody waits for is ended: nobody would join it.
func (c *Cache) leave(f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.waiters--
	if f.waiters == 0 && c.joined {
		c.abandon(f)
	}
}

// abandon ends a flight; the next caller starts another. c.mu is held.
func (c *Cache) abandon(f *flight) {
	f.cancel(errAbandoned)
	if f.of.flight == f {
		f.of.flight = nil
	}
	if c.probe == f {
		c.probe = nil
	}
}

// single asks for a token that one caller uses once, in that caller's goroutine.
func (c *Cache) single(ctx context.Context) (*cachedToken, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.life, func() { cancel(ErrClosed) })()
	for {
		if c.life.Err() != nil {
			return nil, ErrClosed
		}
		l, outdated, err := c.askOnce(ctx)
		if err == nil || !outdated {
			return l, err
		}
	}
}

// askOnce makes one request for single. A failure is outdated when Renew was called
// meanwhile: it says nothing about what is in use now.
func (c *Cache) askOnce(ctx context.Context) (l *cachedToken, outdated bool, err error) {
	c.mu.Lock()
	now, age := time.Now(), c.age
	if c.failures > 0 && (now.Before(c.nextTry) || c.probe != nil) {
		err := &NoTokenError{Cause: c.lastErr, NextTry: c.nextTry}
		if c.probe != nil {
			err.NextTry = later(c.nextTry, now.Add(time.Second)) // when the probe may have ended
		}
		c.mu.Unlock()
		return nil, false, err
	}
	var probe *flight
	if c.failures > 0 {
		probe = &flight{}
		c.probe = probe
	}
	c.mu.Unlock()

	var t Token
	err = errNoReturn
	defer func() { l, outdated, err = c.settleOnce(ctx, t, err, now, age, probe) }() // also of a Minter that ends the goroutine
	t, err = c.mint(ctx)
	return l, false, err
}

// settleOnce remembers what one request of askOnce came to.
func (c *Cache) settleOnce(ctx context.Context, t Token, err error, begun time.Time, age int, probe *flight) (l *cachedToken, outdated bool, _ error) {
	l, err = c.accept(ctx, t, err, begun)

	c.mu.Lock()
	defer c.mu.Unlock()
	if probe != nil && c.probe == probe {
		c.probe = nil
	}
	switch {
	case err == nil:
		c.succeeded(l)
		return l, false, nil
	case c.life.Err() != nil:
		return nil, false, ErrClosed
	case ctx.Err() != nil: // the caller's end, not the endpoint's failure
		return nil, false, fmt.Errorf("auth: waiting for a token: %w", context.Cause(ctx))
	case c.age != age:
		return nil, true, err
	}
	c.failed(err, probe != nil)
	return nil, false, &NoTokenError{Cause: err, NextTry: c.nextTry}
}
