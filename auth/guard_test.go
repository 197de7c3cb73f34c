package auth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func TestConstructors_RefuseNil(t *testing.T) {
	t.Parallel()
	var none *OAuth
	for name, made := range map[string]func() error{
		"cache":             func() error { _, err := NewCache(nil, CacheConfig{}); return err },
		"cache, typed nil":  func() error { _, err := NewCache(none, CacheConfig{}); return err },
		"cache, nil func":   func() error { _, err := NewCache(MinterFunc(nil), CacheConfig{}); return err },
		"transport":         func() error { _, err := NewTransport(nil, testURL, TransportConfig{}); return err },
		"oauth, no key":     func() error { _, err := NewOAuth("c", Key{}, OAuthConfig{}); return err },
		"legacy, no secret": func() error { _, err := NewLegacy("k", Secret{}, LegacyConfig{}); return err },
	} {
		if err := made(); err == nil || !strings.HasPrefix(err.Error(), "auth: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A typed nil where nil has a meaning means the same.
func TestConstructors_TypedNilIsNil(t *testing.T) {
	t.Parallel()
	var base *http.Transport
	c := must(NewCache(MinterFunc(func(context.Context) (Token, error) { return Token{}, io.EOF }), CacheConfig{}))
	rt := must(NewTransport(c, "http://127.0.0.1:1", TransportConfig{Base: base}))
	if rt.base == http.RoundTripper(base) {
		t.Error("the base is a nil *http.Transport")
	}
	o := must(NewOAuth("c", ecKey("k"), OAuthConfig{TokenURL: "http://127.0.0.1:1", Transport: base}))
	if o.endpoint.client.Transport == http.RoundTripper(base) {
		t.Error("the transport is a nil *http.Transport")
	}
}

// hostile panics wherever a Minter is called, with a value that must not be shown.
type hostile struct{ forget, state bool }

const hostileValue = "patient 4711"

func (hostile) Mint(context.Context) (Token, error) { panic(hostileValue) }
func (h hostile) Forget() {
	if h.forget {
		panic(hostileValue)
	}
}

func (h hostile) Skew() (time.Duration, bool) {
	if h.state {
		panic(hostileValue)
	}
	return 0, false
}

func (h hostile) KeyInUse() Key {
	if h.state {
		panic(errors.New(hostileValue))
	}
	return Key{}
}

func TestCache_SurvivesAMinterThatPanics(t *testing.T) {
	t.Parallel()
	for _, cfg := range []CacheConfig{{}, {Pool: 3}, {PerRequest: true}} {
		synctest.Test(t, func(t *testing.T) {
			log := &logBook{}
			cfg.Logger = log.logger()
			cfg.Observe = func(bool) { panic(hostileValue) }
			c := must(NewCache(hostile{forget: true, state: true}, cfg))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- c.Run(ctx) }()
			for range 3 {
				_, err := c.Bearer(t.Context())
				if none, ok := errors.AsType[*NoTokenError](err); !ok || !strings.Contains(none.Error(), "the minter panicked with a string") || strings.Contains(err.Error(), hostileValue) {
					t.Errorf("%v", err)
				}
				bubble.Sleep(time.Minute)
			}
			c.Invalidate("some token")
			if s := c.Status(); s.Usable || s.Failures == 0 {
				t.Errorf("%+v", s)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if text := log.String(); !strings.Contains(text, "the minter panicked") || !strings.Contains(text, "the observer panicked") || strings.Contains(text, hostileValue) {
				t.Errorf("log:\n%s", text)
			}
		})
	}
}

// An end of the goroutine cannot be recovered, but leaves nobody waiting.
func TestCache_SurvivesAMinterThatEndsTheGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := must(NewCache(MinterFunc(func(context.Context) (Token, error) { runtime.Goexit(); return Token{}, nil }), CacheConfig{}))
		if _, err := c.Bearer(t.Context()); !errors.Is(err, errNoReturn) {
			t.Error(err)
		}
	})
}

type hostileTripper struct{}

func (hostileTripper) RoundTrip(*http.Request) (*http.Response, error) { panic(hostileValue) }

func TestTransports_PanicsAreErrors(t *testing.T) {
	t.Parallel()
	o := must(NewOAuth("c", ecKey("k"), OAuthConfig{TokenURL: "http://127.0.0.1:1", Transport: hostileTripper{}}))
	_, err := o.Mint(t.Context())
	l := must(NewLegacy("k", NewSecret("s"), LegacyConfig{URL: "http://127.0.0.1:1", Transport: hostileTripper{}}))
	_, err2 := l.Mint(t.Context())
	good := MinterFunc(func(context.Context) (Token, error) { return NewToken("t", time.Now(), time.Now().Add(time.Hour)), nil })
	rt := must(NewTransport(must(NewCache(good, CacheConfig{})), "http://127.0.0.1:1", TransportConfig{Base: hostileTripper{}}))
	_, err3 := (&http.Client{Transport: rt}).Get("http://127.0.0.1:1/x")
	for i, err := range []error{err, err2, err3, o.Check(t.Context())[0].Err, l.Check(t.Context())[0].Err} {
		if err == nil || !strings.Contains(err.Error(), "panicked with a string") || strings.Contains(err.Error(), hostileValue) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestCallbacks_PanicsAreErrors(t *testing.T) {
	t.Parallel()
	for _, keys := range []func() []Key{nil, func() []Key { panic(hostileValue) }} {
		rec := httptest.NewRecorder()
		NewJWKSHandler(keys, 0).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
		if rec.Code != http.StatusInternalServerError || strings.Contains(rec.Body.String(), hostileValue) {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
}
