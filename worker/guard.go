package worker

import (
	"context"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/guard"
)

// guard returns c with a guard around each of its functions.
func (c Config) guard(g *guard.Panics) Config {
	sources := make([]Source, len(c.Sources))
	for i, s := range c.Sources {
		sources[i] = s.guard(g)
	}
	if c.Sources != nil {
		c.Sources = sources
	}
	if observe := c.Observe; observe != nil {
		c.Observe = func(e Event) {
			defer g.Recover("Config.Observe", nil)
			observe(e)
		}
	}
	if keep := c.Audit; keep != nil {
		c.Audit = func(ctx context.Context, e audit.Entry) (err error) {
			defer g.Recover("Config.Audit", func() { err = guard.ErrPanicked })
			return keep(ctx, e)
		}
	}
	if c.Limiter != nil {
		c.Limiter = guardedLimiter{c.Limiter, g}
	}
	return c
}

// guard counts a panic of Hold as true: a held message can be sent later, one that was sent twice
// cannot be taken back.
func (s Source) guard(g *guard.Panics) Source {
	if hold := s.Hold; hold != nil {
		s.Hold = func(m outbox.Message) (yes bool) {
			defer g.Recover("Source.Hold", func() { yes = true })
			return hold(m)
		}
	}
	if scopes := s.MessageScopes; scopes != nil {
		s.MessageScopes = func(m outbox.Message) (more []string) {
			defer g.Recover("Source.MessageScopes", func() { more = nil })
			return scopes(m)
		}
	}
	return s
}

// guardedLimiter grants nothing when a method panics, and waits a while after a failure.
type guardedLimiter struct {
	limiter Limiter
	guards  *guard.Panics
}

// limiterPause is how long the worker does not ask a limiter that failed: pullers would ask again
// at once.
const limiterPause = time.Second

func (l guardedLimiter) Acquire(ctx context.Context, source string, lane contract.Lane) (done func(sent bool), err error) {
	defer l.guards.Recover("Config.Limiter", func() {
		done, err = nil, guard.ErrPanicked
		backoff.Sleep(ctx, limiterPause)
	})
	given, err := l.limiter.Acquire(ctx, source, lane)
	if err != nil {
		if ctx.Err() == nil {
			backoff.Sleep(ctx, limiterPause)
		}
		return nil, err
	}
	return func(sent bool) {
		defer l.guards.Recover("the end of a grant of Config.Limiter", nil)
		if given != nil {
			given(sent)
		}
	}, nil
}

func (l guardedLimiter) Failed(source string) {
	defer l.guards.Recover("Config.Limiter", nil)
	l.limiter.Failed(source)
}
