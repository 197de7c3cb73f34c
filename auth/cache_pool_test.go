package auth

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func TestPool_SpreadsTokensOverCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		c := startCache(t, b, CacheConfig{Pool: 4})
		synctest.Wait()
		used := map[string]int{}
		for range 400 {
			used[bearer(t, c)]++
		}
		if len(used) != 4 || b.calls.Load() != 4 {
			t.Errorf("%v of %d requests", used, b.calls.Load())
		}
		for token, n := range used {
			if n != 100 {
				t.Errorf("%s was used %d times", token, n)
			}
		}
	})
}

func TestPool_EachTokenIsRenewedOnItsOwn(t *testing.T) {
	t.Parallel()
	for _, run := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := &bench{takes: time.Second}
			var c *Cache
			if run {
				c = startCache(t, b, CacheConfig{Pool: 3})
			} else {
				c = must(NewCache(b, CacheConfig{Pool: 3}))
				defer stop(t, c)
			}
			bearer(t, c)
			for range 720 { // an hour; any two calls in a row meet different tokens
				bubble.Sleep(5 * time.Second)
				begun := time.Now()
				bearer(t, c)
				if time.Since(begun) != 0 {
					t.Fatalf("a caller waited %s", time.Since(begun))
				}
			}
			if n := b.calls.Load(); n < 3*12 || n > 3*17 {
				t.Errorf("run %v: %d requests in an hour", run, n)
			}
		})
	}
}

// TestPool_RevocationOfAllCostsOneRefusal has the API refuse every token: a
// caller's second token must be one made after that, not the pool's next.
func TestPool_RevocationOfAllCostsOneRefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{takes: 100 * time.Millisecond}
		c := startCache(t, b, CacheConfig{Pool: 4})
		bubble.Sleep(time.Second)
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				first := bearer(t, c)
				if first > "t4" {
					return // came after the refusals
				}
				c.Invalidate(first)
				if second := bearer(t, c); second <= "t4" {
					t.Errorf("%s after %s was refused", second, first)
				}
			})
		}
		all.Wait()
		bubble.Sleep(time.Second)
		if n := b.calls.Load(); n != 8 {
			t.Errorf("%d requests for 4 tokens, all revoked once", n)
		}
		if s := c.Status(); s.Tokens != 4 || s.Invalidations > 4 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestPool_SuspectsServeWhenNoneCanBeHad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		c := startCache(t, b, CacheConfig{Pool: 2})
		synctest.Wait()
		b.failWith(errDown)
		first := bearer(t, c)
		c.Invalidate(first)
		synctest.Wait()
		second := bearer(t, c)
		if second == first {
			t.Fatal("a dropped token came back")
		}
		c.Invalidate(second)
		if _, err := c.Bearer(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPool_OneEmptySlotHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		c := must(NewCache(b, CacheConfig{Pool: 2}))
		bearer(t, c)
		b.takes = time.Minute
		for range 10 { // the second token's request hangs
			begun := time.Now()
			if got := bearer(t, c); got != "t1" || time.Since(begun) != 0 {
				t.Errorf("%s after %s", got, time.Since(begun))
			}
		}
		stop(t, c)
	})
}
