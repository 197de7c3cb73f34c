package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// bench is a Minter whose answers a test chooses.
type bench struct {
	calls atomic.Int64
	life  time.Duration // of the tokens, default 5 min
	takes time.Duration // of a call
	fail  atomic.Pointer[error]
	live  sync.Map // token -> end
}

func (b *bench) Mint(ctx context.Context) (Token, error) {
	n := b.calls.Add(1)
	begun := time.Now()
	select {
	case <-time.After(b.takes):
	case <-ctx.Done():
		return Token{}, context.Cause(ctx)
	}
	if err := b.fail.Load(); err != nil {
		return Token{}, *err
	}
	token := NewToken(fmt.Sprintf("t%d", n), begun, begun.Add(cmp.Or(b.life, 5*time.Minute)))
	b.live.Store(token.Value(), token.Expires)
	return token, nil
}

func (b *bench) failWith(err error) {
	if err == nil {
		b.fail.Store(nil)
		return
	}
	b.fail.Store(&err)
}

// bearer asks for a token that must be had.
func bearer(t testing.TB, c *Cache) string {
	t.Helper()
	got, err := c.Bearer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

var errDown = &TokenError{Op: opToken, Host: "h", Status: 503}

func TestCache_ThousandCallersOneRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: time.Second}
		c := must(NewCache(b, CacheConfig{}))
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if got, err := c.Bearer(t.Context()); err != nil || got != "t1" {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
		all.Wait()
		if n := b.calls.Load(); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestCache_ACancelledWaiterHarmsNoOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: 2 * time.Second}
		c := must(NewCache(b, CacheConfig{}))
		why := errors.New("the caller gave up")
		first, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() { // the caller whose call began the request
			begun := time.Now()
			_, err := c.Bearer(first)
			if !errors.Is(err, why) || time.Since(begun) != time.Second {
				t.Errorf("after %s: %v", time.Since(begun), err)
			}
		})
		synctest.Wait()
		for range 50 {
			all.Go(func() {
				if got, err := c.Bearer(t.Context()); err != nil || got != "t1" {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
		all.Wait()
		if n := b.calls.Load(); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestCache_ShortPatienceStillGetsATokenInTheEnd has callers that wait less than
// the endpoint takes: the request they began goes on without them.
func TestCache_ShortPatienceStillGetsATokenInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: 3500 * time.Millisecond}
		c := must(NewCache(b, CacheConfig{}))
		for i := range 4 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := c.Bearer(ctx)
			cancel()
			if (err == nil) != (i == 3) {
				t.Errorf("call %d: %v", i, err)
			}
		}
		if n := b.calls.Load(); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestCache_RenewsAheadWithNobodyWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: 5 * time.Second}
		c := startCache(t, b, CacheConfig{})
		bearer(t, c)
		for range 600 { // 50 minutes
			bubble.Sleep(5 * time.Second)
			begun := time.Now()
			bearer(t, c)
			if waited := time.Since(begun); waited != 0 {
				t.Fatalf("a caller waited %s", waited)
			}
		}
		if n := b.calls.Load(); n < 10 || n > 14 {
			t.Errorf("%d requests in 50 minutes", n)
		}
	})
}

// TestCache_WithoutRunTheFirstCallerRenews shows an embedder that has no place
// for Run: nobody waits there either, as long as there are callers.
func TestCache_WithoutRunTheFirstCallerRenews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: 5 * time.Second}
		c := must(NewCache(b, CacheConfig{}))
		bearer(t, c)
		for range 100 {
			bubble.Sleep(10 * time.Second)
			begun := time.Now()
			bearer(t, c)
			if waited := time.Since(begun); waited != 0 {
				t.Fatalf("a caller waited %s", waited)
			}
		}
		bubble.Sleep(time.Hour) // no callers: no requests
		before := b.calls.Load()
		begun := time.Now()
		bearer(t, c)
		if b.calls.Load() != before+1 || time.Since(begun) != 5*time.Second {
			t.Errorf("after an idle hour: %d requests, waited %s", b.calls.Load()-before, time.Since(begun))
		}
	})
}

func TestCache_InvalidateDropsOnlyThatToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		c := must(NewCache(b, CacheConfig{}))
		if bearer(t, c) != "t1" {
			t.Fatal("no first token")
		}
		for range 64 { // all requests in flight had the same token
			c.Invalidate("t1")
			if got := bearer(t, c); got != "t2" {
				t.Fatalf("got %s", got)
			}
		}
		c.Invalidate("")
		c.Invalidate("unknown")
		if got := bearer(t, c); got != "t2" || b.calls.Load() != 2 {
			t.Errorf("%s after %d requests", got, b.calls.Load())
		}
		if s := c.Status(); s.Invalidations != 1 || s.Mints != 2 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestCache_RunReplacesADroppedTokenAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		c := startCache(t, b, CacheConfig{})
		c.Invalidate(bearer(t, c))
		synctest.Wait()
		if b.calls.Load() != 2 || c.Status().Tokens != 1 {
			t.Errorf("%d requests, %d tokens", b.calls.Load(), c.Status().Tokens)
		}
	})
}

func TestCache_PerRequestKeepsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		c := startCache(t, b, CacheConfig{PerRequest: true})
		for i := 1; i <= 5; i++ {
			if got := bearer(t, c); got != fmt.Sprintf("t%d", i) {
				t.Errorf("call %d got %s", i, got)
			}
		}
		c.Invalidate("t5")
		if s := c.Status(); !s.Usable || s.Tokens != 0 || s.Mints != 5 || s.Invalidations != 1 {
			t.Errorf("status %+v", s)
		}
		bubble.Sleep(24 * time.Hour)
		if b.calls.Load() != 5 {
			t.Error("a token was minted with nobody asking")
		}
	})
}

func TestCache_PerRequestRemembersFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: 100 * time.Millisecond}
		b.failWith(errDown)
		c := must(NewCache(b, CacheConfig{PerRequest: true}))
		for range 1000 {
			_, err := c.Bearer(t.Context())
			if e, ok := errors.AsType[*NoTokenError](err); !ok || e.RetryAfter() > time.Second || !errors.Is(err, errDown) {
				t.Fatalf("got %v", err)
			}
		}
		if b.calls.Load() != 1 {
			t.Errorf("%d requests", b.calls.Load())
		}
		cancelled, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		bubble.Sleep(time.Second)
		if _, err := c.Bearer(cancelled); !errors.Is(err, context.DeadlineExceeded) || c.Status().Failures != 1 {
			t.Errorf("a caller's own end counts: %v, %d failures", err, c.Status().Failures)
		}
		b.failWith(nil)
		bearer(t, c)
	})
}

func TestCache_PerRequestProbesOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: 5 * time.Second}
		b.failWith(errDown)
		c := must(NewCache(b, CacheConfig{PerRequest: true}))
		if _, err := c.Bearer(t.Context()); err == nil {
			t.Fatal("a token")
		}
		bubble.Sleep(time.Second)
		b.failWith(nil)
		var probe sync.WaitGroup
		probe.Go(func() { bearer(t, c) })
		synctest.Wait()
		_, err := c.Bearer(t.Context())
		if e, ok := errors.AsType[*NoTokenError](err); !ok || e.RetryAfter() != time.Second || b.calls.Load() != 2 {
			t.Errorf("%v after %d requests", err, b.calls.Load())
		}
		probe.Wait()
		bearer(t, c)
	})
}

func TestNewCache_Refuses(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]CacheConfig{
		"pool is -1":         {Pool: -1},
		"pool is 65":         {Pool: 65},
		"choose one":         {Pool: 2, PerRequest: true},
		"mint timeout is -1": {MintTimeout: -1},
	} {
		if _, err := NewCache(&bench{}, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestCache_AMinterThatNeverReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: 24 * time.Hour}
		c := must(NewCache(b, CacheConfig{}))
		begun := time.Now()
		_, err := c.Bearer(t.Context())
		if err == nil || !strings.Contains(err.Error(), "no token after 45s") || time.Since(begun) != 45*time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}

func TestCache_AMinterThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := MinterFunc(func(context.Context) (Token, error) {
			runtime.Goexit()
			return Token{}, nil
		})
		_, err := must(NewCache(m, CacheConfig{})).Bearer(t.Context())
		if err == nil || !strings.Contains(err.Error(), "did not return") {
			t.Errorf("got %v", err)
		}
	})
}

// In per-request mode it is the caller's goroutine, and the next caller asks again.
func TestCache_PerRequestAProbeThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		m := MinterFunc(func(context.Context) (Token, error) {
			switch calls++; calls {
			case 1:
				return Token{}, errDown
			case 2:
				runtime.Goexit()
			}
			return NewToken("t", time.Now(), time.Now().Add(time.Minute)), nil
		})
		c := must(NewCache(m, CacheConfig{PerRequest: true}))
		for range 2 {
			var caller sync.WaitGroup
			caller.Go(func() { _, _ = c.Bearer(t.Context()) })
			caller.Wait()
			bubble.Sleep(time.Minute)
		}
		if got := bearer(t, c); got != "t" || calls != 3 {
			t.Errorf("%s after %d requests", got, calls)
		}
	})
}

func TestCache_TokenSaysWhatIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := must(NewCache(&bench{}, CacheConfig{}))
		for range 2 {
			token, err := c.Token(t.Context())
			if err != nil || token.Value() != "t1" || time.Until(token.Expires) != 5*time.Minute {
				t.Errorf("%v, %v", token, err)
			}
		}
	})
}
