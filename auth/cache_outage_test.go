package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func TestCache_OldTokenServesWhileTheEndpointIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log := &bench{}, &logBook{}
		c := startCache(t, b, CacheConfig{Logger: log.logger()})
		token := must(c.Token(t.Context()))
		b.failWith(errDown)
		for time.Until(token.Expires) > time.Second {
			bubble.Sleep(time.Second)
			if got := bearer(t, c); got != "t1" {
				t.Fatalf("got %s", got)
			}
		}
		bubble.Sleep(time.Second)
		_, err := c.Bearer(t.Context())
		if _, ok := errors.AsType[*NoTokenError](err); !ok {
			t.Fatalf("after its end: %v", err)
		}
		b.failWith(nil)
		bubble.Sleep(31 * time.Second) // the longest wait between tries
		if got := bearer(t, c); got == "t1" {
			t.Error("no new token after the outage")
		}
		want := []string{"could not be renewed", "there is no token", "can be had again"}
		for _, line := range want {
			if strings.Count(log.String(), line) != 1 {
				t.Errorf("%d lines say %q", strings.Count(log.String(), line), line)
			}
		}
	})
}

func TestCache_NoStampedeOnADeadEndpoint(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err      error
		from, to int64
	}{
		"temporary":   {errDown, 24, 60},                                              // every 15 s to 30 s in the end
		"heals":       {&TokenError{Status: 400, Code: "invalid_client"}, 12, 26},     // every 30 s to 60 s
		"permanent":   {&TokenError{Status: 400, Code: "invalid_scope"}, 5, 12},       // every 2.5 to 5 min
		"Retry-After": {&TokenError{Status: 429, retryAfter: 2 * time.Minute}, 8, 10}, // as the server says
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &bench{takes: 50 * time.Millisecond} // four at once at first, one at a time after
				b.failWith(c.err)
				k := startCache(t, b, CacheConfig{Pool: 4})
				var all sync.WaitGroup
				for range 50 {
					all.Go(func() {
						for range 600 { // ten minutes, once a second
							if _, err := k.Bearer(t.Context()); !errors.Is(err, c.err) {
								t.Errorf("got %v", err)
							}
							bubble.Sleep(time.Second)
						}
					})
				}
				all.Wait()
				if n := b.calls.Load(); n < c.from || n > c.to {
					t.Errorf("%d requests in ten minutes, want %d to %d", n, c.from, c.to)
				}
			})
		})
	}
}

// TestCache_FailuresAreAnsweredAtOnce has callers during the wait after a
// failure: none of them blocks.
func TestCache_FailuresAreAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: time.Second}
		b.failWith(&TokenError{Status: 400, Code: "invalid_client"})
		c := must(NewCache(b, CacheConfig{}))
		_, first := c.Bearer(t.Context())
		begun := time.Now()
		_, second := c.Bearer(t.Context())
		if first == nil || second == nil || time.Since(begun) != 0 {
			t.Errorf("%v, then %v after %s", first, second, time.Since(begun))
		}
		e, _ := errors.AsType[*NoTokenError](second)
		bubble.Sleep(e.RetryAfter())
		b.failWith(nil)
		bearer(t, c)
	})
}

// TestCache_EightSecondsDown is the outage of the user story: at the start, and
// in the middle of a token's life.
func TestCache_EightSecondsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		b.failWith(errDown)
		c := startCache(t, b, CacheConfig{})
		bubble.Sleep(8 * time.Second)
		b.failWith(nil)
		bubble.Sleep(8 * time.Second)
		first := bearer(t, c)
		bubble.Sleep(200 * time.Second)
		b.failWith(errDown)
		for range 8 {
			bubble.Sleep(time.Second)
			if bearer(t, c) != first {
				t.Error("the token changed")
			}
		}
		b.failWith(nil)
		for range 300 {
			bubble.Sleep(time.Second)
			bearer(t, c)
		}
	})
}

func TestCache_RenewForgetsTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: 100 * time.Millisecond}
		b.failWith(&TokenError{Status: 400, Code: "invalid_scope"})
		c := startCache(t, b, CacheConfig{})
		bubble.Sleep(time.Hour)
		b.failWith(nil)
		if _, err := c.Bearer(t.Context()); err == nil {
			t.Fatal("there is no wait to forget")
		}
		c.Renew()
		bubble.Sleep(200 * time.Millisecond)
		if !c.Status().Usable || c.Status().Failures != 0 {
			t.Errorf("status %+v", c.Status())
		}
		before := bearer(t, c)
		c.Renew()
		if bearer(t, c) != before {
			t.Error("the present token does not serve during a renewal")
		}
		bubble.Sleep(200 * time.Millisecond)
		if bearer(t, c) == before {
			t.Error("not renewed")
		}
	})
}

// TestCache_RenewDuringAFlight has a request with the old keys under way when
// the new ones arrive: its failure says nothing about them.
func TestCache_RenewDuringAFlight(t *testing.T) {
	t.Parallel()
	for _, perRequest := range []bool{false, true} {
		renewDuringAFlight(t, CacheConfig{PerRequest: perRequest})
	}
}

func renewDuringAFlight(t *testing.T, cfg CacheConfig) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: time.Second}
		b.failWith(&TokenError{Status: 400, Code: "invalid_client"})
		c := startCache(t, b, cfg)
		var caller sync.WaitGroup
		caller.Go(func() {
			begun := time.Now()
			if _, err := c.Bearer(t.Context()); err != nil || time.Since(begun) != 2*time.Second {
				t.Errorf("after %s: %v", time.Since(begun), err)
			}
		})
		bubble.Sleep(500 * time.Millisecond)
		c.Renew()
		bubble.Sleep(500 * time.Millisecond)
		synctest.Wait()
		b.failWith(nil)
		caller.Wait()
	})
}

func TestCache_RenewWhileAGoodTokenArrives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: time.Second}
		c := startCache(t, b, CacheConfig{})
		bubble.Sleep(500 * time.Millisecond)
		c.Renew()
		bubble.Sleep(3 * time.Second)
		if got := bearer(t, c); got != "t2" || b.calls.Load() != 2 {
			t.Errorf("%s after %d requests", got, b.calls.Load())
		}
	})
}

func TestRun_EndsWhatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: 30 * time.Second}
		c := must(NewCache(b, CacheConfig{Pool: 2}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := c.Run(ctx); err != nil || time.Since(begun) != time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		if c.Status().Failures != 0 {
			t.Error("the end of Run counts as a failure")
		}
	})
}

func TestRun_LetsWaitersFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: 10 * time.Second}
		c := must(NewCache(b, CacheConfig{}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var caller sync.WaitGroup
		caller.Go(func() { bearer(t, c) })
		begun := time.Now()
		if err := c.Run(ctx); err != nil || time.Since(begun) != 10*time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		caller.Wait()
		c.Invalidate("t1") // afterwards it serves on demand
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Bearer(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		synctest.Wait() // the flight ended with its last waiter
		bearer(t, c)
		if n := b.calls.Load(); n != 3 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestRun_OnlyOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, cfg := range []CacheConfig{{}, {PerRequest: true}} {
			c := startCache(t, &bench{}, cfg)
			synctest.Wait()
			if err := c.Run(t.Context()); !errors.Is(err, ErrRunning) {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestRun_AgainAfterItEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		c := must(NewCache(b, CacheConfig{}))
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
			if err := c.Run(ctx); err != nil {
				t.Error(err)
			}
			cancel()
		}
		if n := b.calls.Load(); n < 12 || n > 18 {
			t.Errorf("%d requests in an hour", n)
		}
	})
}

// TestCache_AnAPIThatRefusesEveryTokenIsNotFedMore has callers that drop each
// token they get, twice a message, as a worker with the wrong key would.
func TestCache_AnAPIThatRefusesEveryTokenIsNotFedMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log := &bench{}, &logBook{}
		c := startCache(t, b, CacheConfig{Logger: log.logger()})
		synctest.Wait()
		for range 6000 { // ten minutes
			token, err := c.Bearer(t.Context())
			if err == nil {
				c.Invalidate(token)
			} else if !errors.Is(err, ErrRefused) {
				t.Fatal(err)
			}
			bubble.Sleep(100 * time.Millisecond)
		}
		if n := b.calls.Load(); n < 20 || n > 60 {
			t.Errorf("%d requests in ten minutes", n)
		}
		if s := c.Status(); s.Error == "" && s.Tokens == 0 {
			t.Errorf("status %+v", s)
		}
		bubble.Sleep(3 * time.Minute) // the API is mended
		bearer(t, c)
		before := b.calls.Load()
		c.Invalidate(bearer(t, c))
		synctest.Wait()
		if bearer(t, c); b.calls.Load() != before+1 {
			t.Errorf("%d requests after a single refusal", b.calls.Load()-before)
		}
	})
}

// TestCache_RevocationsNowAndThenCostNoWait: old tokens that are refused are
// replaced at once, however often that happens.
func TestCache_RevocationsNowAndThenCostNoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := startCache(t, &bench{}, CacheConfig{})
		for range 100 {
			bubble.Sleep(15 * time.Second)
			c.Invalidate(bearer(t, c))
			bearer(t, c)
		}
	})
}

// TestCache_ObserveIsToldOfEachChange: once when the last token has ended, once
// when there is one again, and nothing of failures that a token outlives.
func TestCache_ObserveIsToldOfEachChange(t *testing.T) {
	t.Parallel()
	for _, perRequest := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var told []bool
			b := &bench{}
			c := startCache(t, b, CacheConfig{PerRequest: perRequest, Observe: func(usable bool) { told = append(told, usable) }})
			bearer(t, c)
			b.failWith(errDown)
			for range 2 {
				bubble.Sleep(10 * time.Minute)
				_, _ = c.Bearer(t.Context())
			}
			b.failWith(nil)
			bubble.Sleep(time.Minute)
			bearer(t, c)
			synctest.Wait() // what told has happened
			if want := []bool{false, true}; !slices.Equal(told, want) {
				t.Errorf("per request %v: told %v, want %v", perRequest, told, want)
			}
		})
	}
}
