package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
)

// guards recover panics of the functions in a Config: each then counts as failed. The value of a
// panic may hold anything of the message, so only its type is kept. A runtime.Goexit cannot be
// recovered.
type guards struct {
	log    *slog.Logger
	last   atomic.Int64 // when the log was told, Unix, nanoseconds
	silent atomic.Int64 // panics that it was not told since
}

// errPanicked is the error of a function that panicked.
var errPanicked = errors.New("worker: a function of the embedder panicked")

// recovered recovers a panic, logs it, and calls then. It is to be deferred.
func (g *guards) recovered(what string, then func()) {
	p := recover()
	if p == nil {
		return
	}
	if now, last := time.Now().UnixNano(), g.last.Load(); now-last < int64(time.Minute) || !g.last.CompareAndSwap(last, now) {
		g.silent.Add(1)
	} else {
		g.log.Error(what+" panicked", "panic", fmt.Sprintf("%T", p), "since_last", g.silent.Swap(0), "stack", string(debug.Stack()))
	}
	if then != nil {
		then()
	}
}

// guard returns c with a guard around each of its functions.
func (c Config) guard(g *guards) Config {
	sources := make([]Source, len(c.Sources))
	for i, s := range c.Sources {
		sources[i] = s.guard(g)
	}
	if c.Sources != nil {
		c.Sources = sources
	}
	if observe := c.Observe; observe != nil {
		c.Observe = func(e Event) {
			defer g.recovered("Config.Observe", nil)
			observe(e)
		}
	}
	if keep := c.Audit; keep != nil {
		c.Audit = func(ctx context.Context, e audit.Entry) (err error) {
			defer g.recovered("Config.Audit", func() { err = errPanicked })
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
func (s Source) guard(g *guards) Source {
	if hold := s.Hold; hold != nil {
		s.Hold = func(m outbox.Message) (yes bool) {
			defer g.recovered("Source.Hold", func() { yes = true })
			return hold(m)
		}
	}
	if scopes := s.MessageScopes; scopes != nil {
		s.MessageScopes = func(m outbox.Message) (more []string) {
			defer g.recovered("Source.MessageScopes", func() { more = nil })
			return scopes(m)
		}
	}
	return s
}

// guardedLimiter grants nothing when a method panics, and waits a while after a failure.
type guardedLimiter struct {
	limiter Limiter
	guards  *guards
}

// limiterPause is how long the worker does not ask a limiter that failed: lanes would ask again
// at once.
const limiterPause = time.Second

func (l guardedLimiter) Acquire(ctx context.Context, source string, lane outbox.Lane) (done func(sent bool), err error) {
	defer l.guards.recovered("Config.Limiter", func() {
		done, err = nil, errPanicked
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
		defer l.guards.recovered("the end of a grant of Config.Limiter", nil)
		if given != nil {
			given(sent)
		}
	}, nil
}

func (l guardedLimiter) Failed(source string) {
	defer l.guards.recovered("Config.Limiter", nil)
	l.limiter.Failed(source)
}

// isNil reports whether v is nil, or a nil pointer or function.
func isNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func, reflect.Map:
		return r.IsNil()
	}
	return false
}
