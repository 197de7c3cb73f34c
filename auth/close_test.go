package auth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// A Cache that is closed leaves no goroutine, whatever it was doing, and nobody waits for it.
// The bubble fails where one is left.
func TestClose_NothingIsLeft(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]CacheConfig{"one": {}, "a pool": {Pool: 8}, "per request": {PerRequest: true}} {
		for _, run := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				told := &tally{}
				cfg.Metrics = told
				c := must(NewCache(MinterFunc(func(ctx context.Context) (Token, error) {
					<-ctx.Done() // an endpoint that does not answer
					return Token{}, ctx.Err()
				}), cfg))
				var all sync.WaitGroup
				if run {
					all.Go(func() {
						if err := c.Run(t.Context()); err != nil {
							t.Errorf("%s: Run: %v", name, err)
						}
					})
				}
				for range 100 {
					all.Go(func() {
						if _, err := c.Bearer(t.Context()); !errors.Is(err, ErrClosed) {
							t.Errorf("%s: a caller got %v", name, err)
						}
					})
				}
				bubble.Sleep(time.Second)
				begun := time.Now()
				for range 2 {
					if err := c.Close(); err != nil {
						t.Error(err)
					}
				}
				all.Wait()
				if time.Since(begun) != 0 {
					t.Errorf("%s: it took %s", name, time.Since(begun))
				}
				if _, err := c.Token(t.Context()); !errors.Is(err, ErrClosed) {
					t.Errorf("%s: after the end %v", name, err)
				}
				if err := c.Run(t.Context()); !errors.Is(err, ErrClosed) {
					t.Errorf("%s: Run after the end: %v", name, err)
				}
				if n := told.of("minted default temporary"); n != 0 {
					t.Errorf("%s: %d failures were counted", name, n)
				}
				c.Renew()
				c.Invalidate("abc")
				if s := c.Status(); s.Tokens != 0 {
					t.Errorf("%s: %+v", name, s)
				}
			})
		}
	}
}

// A token at hand is gone as well.
func TestClose_TokensAreDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := must(NewCache(&bench{}, CacheConfig{}))
		bearer(t, c)
		_ = c.Close()
		if _, err := c.Bearer(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// A Minter that does not listen to its context is waited for by Close, and by nobody else.
func TestClose_AMinterThatDoesNotListen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := must(NewCache(MinterFunc(func(context.Context) (Token, error) {
			bubble.Sleep(time.Minute)
			return NewToken("late", time.Now(), time.Now().Add(time.Hour)), nil
		}), CacheConfig{}))
		begun := time.Now()
		var all sync.WaitGroup
		all.Go(func() {
			_, err := c.Bearer(t.Context())
			if !errors.Is(err, ErrClosed) || time.Since(begun) != time.Second {
				t.Errorf("after %s: %v", time.Since(begun), err)
			}
		})
		bubble.Sleep(time.Second)
		if err := c.Close(); err != nil || time.Since(begun) != time.Minute {
			t.Errorf("closed after %s: %v", time.Since(begun), err)
		}
		all.Wait()
		if c.Status().Tokens != 0 {
			t.Error("a token came late and was kept")
		}
	})
}

// Closing what asks and what keeps leaves no goroutine of net/http either.
func TestClose_ConnectionsToo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/authenticate" {
			_, _ = w.Write([]byte(`{"accessToken":"abc"}`))
			return
		}
		_, _ = w.Write([]byte(`{"access_token":"abc"}`))
	}))
	defer server.Close()
	before := runtime.NumGoroutine()
	for range 20 {
		o := must(NewOAuth("client-1", ecKey("k"), OAuthConfig{TokenURL: server.URL}))
		l := must(NewLegacy("key", NewSecret("secret"), LegacyConfig{URL: server.URL}))
		for _, m := range []Minter{o, l} {
			c := must(NewCache(m, CacheConfig{}))
			bearer(t, c)
			_ = c.Close()
		}
		o.CloseIdleConnections()
		l.CloseIdleConnections()
	}
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i > 1_000_000 {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}
