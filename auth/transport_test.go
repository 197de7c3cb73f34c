package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// api is a server that takes some tokens, and notes what it was sent.
type api struct {
	mu     sync.Mutex
	good   func(bearer string) bool
	bodies []string
	tokens []string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bodies, a.tokens = append(a.bodies, string(body)), append(a.tokens, bearer)
	if !a.good(bearer) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "Invalid request")
		return
	}
	_, _ = io.WriteString(w, "taken: "+string(body))
}

// client is an http.Client with the Cache's tokens, whose API is a.
func client(t *testing.T, c *Cache, a http.Handler) *http.Client {
	t.Helper()
	return &http.Client{Transport: must(NewTransport(c, "http://localhost", TransportConfig{Base: serve(t, a)}))}
}

func post(t *testing.T, c *http.Client, body io.Reader) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/endpoint", body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestTransport_A401IsReplayedOnceWithANewTokenAndTheWholeBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{good: func(b string) bool { return b == "t2" }}
		b := &bench{}
		c := client(t, must(NewCache(b, CacheConfig{})), a)
		for _, body := range []io.Reader{strings.NewReader("body"), bytes.NewReader([]byte("body")), bytes.NewBufferString("body")} {
			if code, text := post(t, c, body); code != 200 || text != "taken: body" {
				t.Errorf("%d %s", code, text)
			}
		}
		if got := fmt.Sprint(a.tokens, a.bodies); got != "[t1 t2 t2 t2] [body body body body]" || b.calls.Load() != 2 {
			t.Errorf("%s with %d tokens", got, b.calls.Load())
		}
	})
}

func TestTransport_ASecond401IsReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{good: func(string) bool { return false }}
		c := client(t, must(NewCache(&bench{}, CacheConfig{})), a)
		if code, text := post(t, c, strings.NewReader("body")); code != 401 || text != "Invalid request" {
			t.Errorf("%d %s", code, text)
		}
		if got := fmt.Sprint(a.tokens); got != "[t1 t2]" {
			t.Errorf("sent with %s", got)
		}
	})
}

func TestTransport_ABodyThatCannotBeHadAgainIsNotReplayed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{good: func(b string) bool { return b != "t1" }}
		c := client(t, must(NewCache(&bench{}, CacheConfig{})), a)
		if code, _ := post(t, c, io.MultiReader(strings.NewReader("stream"))); code != 401 {
			t.Errorf("got %d", code)
		}
		if code, _ := post(t, c, io.MultiReader(strings.NewReader("stream"))); code != 200 {
			t.Errorf("then %d: the token was not dropped", code)
		}
		if got := fmt.Sprint(a.bodies); got != "[stream stream]" {
			t.Errorf("sent %s", got)
		}
	})
}

func TestTransport_WithoutABody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{good: func(b string) bool { return b == "t2" }}
		c := client(t, must(NewCache(&bench{}, CacheConfig{})), a)
		for _, body := range []io.Reader{nil, http.NoBody} {
			if code, _ := post(t, c, body); code != 200 {
				t.Errorf("got %d", code)
			}
		}
	})
}

// body counts its closes.
type body struct {
	io.Reader
	closed atomic.Int32
}

func (b *body) Close() error { b.closed.Add(1); return nil }

// fixed is a RoundTripper that answers without a server.
type fixed func(*http.Request) (*http.Response, error)

func (f fixed) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTransport_ClosesTheBodyAndLeavesTheRequestAlone(t *testing.T) {
	t.Parallel()
	closing := func(code int, err error) fixed {
		return func(r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			if err != nil {
				return nil, err
			}
			return &http.Response{StatusCode: code, Body: http.NoBody}, nil
		}
	}
	down := MinterFunc(func(context.Context) (Token, error) { return Token{}, errDown })
	for name, c := range map[string]struct {
		m    Minter
		base fixed
	}{
		"taken":    {&bench{}, closing(200, nil)},
		"refused":  {&bench{}, closing(401, nil)},
		"failed":   {&bench{}, closing(0, io.ErrUnexpectedEOF)},
		"no token": {down, closing(200, nil)},
	} {
		b := &body{Reader: strings.NewReader("x")}
		r := must(http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.redoxengine.com/endpoint", b))
		tr := must(NewTransport(must(NewCache(c.m, CacheConfig{})), "https://api.redoxengine.com", TransportConfig{Base: c.base}))
		resp, err := tr.RoundTrip(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		if b.closed.Load() != 1 || len(r.Header) != 0 || r.Body != io.ReadCloser(b) {
			t.Errorf("%s: closed %d times, header %v", name, b.closed.Load(), r.Header)
		}
	}
}

func TestTransport_NoTokenMeansNothingIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := &api{good: func(string) bool { return true }}, &bench{}
		b.failWith(errDown)
		c := client(t, must(NewCache(b, CacheConfig{})), a)
		resp, err := c.Get("http://localhost/")
		if err == nil {
			_ = resp.Body.Close()
		}
		if e, ok := errors.AsType[*NoTokenError](err); !ok || e.Attempted() || len(a.tokens) != 0 {
			t.Errorf("%v, %d requests", err, len(a.tokens))
		}
	})
}

func TestTransport_TheRefusalStaysWhenNoOtherTokenCanBeHad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		a := &api{good: func(string) bool { b.failWith(errDown); return false }}
		c := client(t, must(NewCache(b, CacheConfig{})), a)
		if code, text := post(t, c, strings.NewReader("body")); code != 401 || text != "Invalid request" || len(a.tokens) != 1 {
			t.Errorf("%d %s after %d requests", code, text, len(a.tokens))
		}
	})
}

func TestTransport_OtherOriginsGetNoToken(t *testing.T) {
	t.Parallel()
	var sent []string
	base := fixed(func(r *http.Request) (*http.Response, error) {
		sent = append(sent, r.URL.Host+"="+r.Header.Get("Authorization"))
		resp := &http.Response{StatusCode: 200, Body: http.NoBody, Header: http.Header{}, Request: r}
		if r.URL.Path == "/away" {
			resp.StatusCode = http.StatusTemporaryRedirect
			resp.Header.Set("Location", "https://elsewhere.example/")
		}
		return resp, nil
	})
	c := &http.Client{Transport: must(NewTransport(must(NewCache(&bench{}, CacheConfig{})), "https://API.redoxengine.com:443/x", TransportConfig{Base: base}))}
	for _, u := range []string{
		"https://api.redoxengine.com/away", "http://api.redoxengine.com/", "https://api.redoxengine.com:8443/",
		"https://api.redoxengine.com.evil.example/", "https://API.REDOXENGINE.COM:443/",
	} {
		resp, err := c.Get(u)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	want := "[api.redoxengine.com=Bearer t1 elsewhere.example= api.redoxengine.com= api.redoxengine.com:8443= " +
		"api.redoxengine.com.evil.example= API.REDOXENGINE.COM:443=Bearer t1]"
	if got := fmt.Sprint(sent); got != want {
		t.Errorf("sent %s", got)
	}
}

func TestNewTransport(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{"", "api.redoxengine.com", "http://api.redoxengine.com", "ftp://localhost", "https://u:p@h"} {
		if _, err := NewTransport(&Cache{}, origin, TransportConfig{}); err == nil || !strings.HasPrefix(err.Error(), "auth: transport: ") {
			t.Errorf("%q: %v", origin, err)
		}
	}
	tr := must(NewTransport(&Cache{}, "https://h", TransportConfig{}))
	if own, ok := tr.base.(*http.Transport); !ok || own.Proxy == nil || own.ResponseHeaderTimeout != 0 {
		t.Errorf("the default base is %+v", tr.base)
	}
}

// idler counts the calls that close its idle connections.
type idler struct {
	fixed
	closed int
}

func (i *idler) CloseIdleConnections() { i.closed++ }

func TestTransport_ClosesIdleConnectionsOfItsBase(t *testing.T) {
	t.Parallel()
	base := &idler{}
	(&http.Client{Transport: must(NewTransport(&Cache{}, "https://h", TransportConfig{Base: base}))}).CloseIdleConnections()
	must(NewTransport(&Cache{}, "https://h", TransportConfig{Base: fixed(nil)})).CloseIdleConnections() // has none
	if base.closed != 1 {
		t.Errorf("closed %d times", base.closed)
	}
}

// TestTransport_64InFlightWhileAllIsRevoked: one new token, nothing lost,
// nothing taken twice.
func TestTransport_64InFlightWhileAllIsRevoked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t, ecKey("k"))
		c := startCache(t, newTestOAuth(t, s, ecKey("k"), OAuthConfig{}), CacheConfig{})
		a := &api{good: s.valid}
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			bubble.Sleep(time.Second)
			a.ServeHTTP(w, r)
		})
		h := client(t, c, slow)
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				if code, _ := post(t, h, strings.NewReader(fmt.Sprint(i))); code != 200 {
					t.Errorf("message %d: %d", i, code)
				}
			})
		}
		bubble.Sleep(500 * time.Millisecond)
		s.revoke()
		all.Wait()
		if _, made := s.counts(); made != 2 || len(a.bodies) != 128 {
			t.Errorf("%d tokens, %d requests", made, len(a.bodies))
		}
	})
}
