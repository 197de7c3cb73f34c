package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
	"weak"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

const legacyBase = "http://localhost/auth"

// legacyStandIn is Redox's legacy endpoints: a new pair each time, a refresh
// token that works once and after the token's end too, refusals as plain text.
type legacyStandIn struct {
	mu      sync.Mutex
	key     string
	secret  string
	refresh string
	live    map[string]time.Time
	paths   []string
	fault   func(w http.ResponseWriter, r *http.Request) bool
	ttl     time.Duration
	skew    time.Duration // of the server's clock
}

func newLegacyStandIn() *legacyStandIn {
	return &legacyStandIn{key: "key-1", secret: "s3cr3t", live: map[string]time.Time{}, ttl: 24 * time.Hour}
}

func (s *legacyStandIn) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *legacyStandIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.paths = append(s.paths, strings.TrimPrefix(r.URL.Path, "/auth/"))
	now, fault := time.Now().Add(s.skew), s.fault
	s.mu.Unlock()
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	if fault != nil && fault(w, r) { // without the lock: it may hang
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var asked struct{ APIKey, Secret, RefreshToken string }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || r.Header.Get("Content-Type") != "application/json" || asked.APIKey != s.key {
		s.refuse(w, "Invalid request")
		return
	}
	good := asked.Secret == s.secret && r.URL.Path == "/auth/authenticate" ||
		asked.RefreshToken != "" && asked.RefreshToken == s.refresh && r.URL.Path == "/auth/refreshToken"
	if !good {
		s.refuse(w, "Invalid source secret.")
		return
	}
	n := len(s.paths)
	token := fmt.Sprintf("access-%d", n)
	s.live[token], s.refresh = now.Add(s.ttl), fmt.Sprintf("refresh-%d", n)
	_ = json.NewEncoder(w).Encode(map[string]string{
		"accessToken": token, "expires": now.Add(s.ttl).UTC().Format("2006-01-02T15:04:05.000Z"), "refreshToken": s.refresh,
	})
}

// refuse answers as recorded: 401, text/html, a bare text.
func (s *legacyStandIn) refuse(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte(text))
}

func (s *legacyStandIn) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.paths, " ")
}

// valid reports whether a token is live by the server's clock.
func (s *legacyStandIn) valid(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.skew).Before(s.live[token])
}

func (s *legacyStandIn) madeTokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live)
}

func newTestLegacy(t testing.TB, h http.Handler, cfg LegacyConfig) *Legacy {
	t.Helper()
	cfg.URL = cmp.Or(cfg.URL, legacyBase)
	cfg.Transport = serve(t, h)
	return must(NewLegacy("key-1", NewSecret("s3cr3t"), cfg))
}

// mintLegacy asks for a token that must be had.
func mintLegacy(t testing.TB, l *Legacy) Token {
	t.Helper()
	token, err := l.Mint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestLegacy_AuthenticatesThenRefreshes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLegacyStandIn()
		l := newTestLegacy(t, s, LegacyConfig{URL: legacyBase + "/"})
		for range 3 {
			if token := mintLegacy(t, l); token.Lifetime() != 24*time.Hour {
				t.Errorf("lives %s", token.Lifetime())
			}
		}
		if s.asked() != "authenticate refreshToken refreshToken" {
			t.Errorf("asked %s", s.asked())
		}
	})
}

func TestLegacy_FallsBackToTheSecret(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(http.ResponseWriter){
		"refused as text": func(w http.ResponseWriter) { w.WriteHeader(401); _, _ = w.Write([]byte("Invalid request")) },
		"refused as HTML": func(w http.ResponseWriter) { w.WriteHeader(403); _, _ = w.Write([]byte("<html><b>no</b>")) },
		"refused, cut short": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(401)
			_, _ = w.Write([]byte("Invalid request"))
		},
		"gone":     func(w http.ResponseWriter) { w.WriteHeader(404) },
		"failing":  func(w http.ResponseWriter) { w.WriteHeader(500) },
		"nonsense": func(w http.ResponseWriter) { _, _ = w.Write([]byte("OK")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newLegacyStandIn()
				s.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if strings.HasSuffix(r.URL.Path, "/refreshToken") {
						fault(w)
						return true
					}
					return false
				}
				l := newTestLegacy(t, s, LegacyConfig{})
				mintLegacy(t, l)
				mintLegacy(t, l)
				if s.asked() != "authenticate refreshToken authenticate" {
					t.Errorf("asked %s", s.asked())
				}
			})
		})
	}
}

func TestLegacy_TroubleThatKeepsTheRefreshToken(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"no answer":         func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		"too many requests": func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(429); return true },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newLegacyStandIn()
			l := newTestLegacy(t, s, LegacyConfig{})
			mintLegacy(t, l)
			s.set(func() { s.fault = fault })
			if _, err := l.Mint(t.Context()); classOf(err) != temporary {
				t.Errorf("%s: %v", name, err)
			}
			s.set(func() { s.fault = nil })
			mintLegacy(t, l)
			if s.asked() != "authenticate refreshToken refreshToken" {
				t.Errorf("%s: asked %s", name, s.asked())
			}
		})
	}
}

func TestLegacy_ARefusedTokenAuthenticatesAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLegacyStandIn()
		c := must(NewCache(newTestLegacy(t, s, LegacyConfig{}), CacheConfig{}))
		c.Invalidate(bearer(t, c))
		bearer(t, c)
		if s.asked() != "authenticate authenticate" {
			t.Errorf("asked %s", s.asked())
		}
	})
}

func TestLegacy_RefusalsAreTextAndTyped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLegacyStandIn()
		s.secret = "another"
		_, err := newTestLegacy(t, s, LegacyConfig{}).Mint(t.Context())
		e, ok := errors.AsType[*TokenError](err)
		if !ok || e.Op != "authenticate" || e.Status != 401 || e.Description != "Invalid source secret." || !e.Heals() {
			t.Fatalf("got %+v", err)
		}
		if want := "a new secret ends the old one"; !strings.Contains(e.Error(), want) || strings.Contains(e.Error(), "s3cr3t") {
			t.Errorf("reads %q", e)
		}
	})
}

func TestLegacy_NeverQuotesItsRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, err := newTestLegacy(t, http.HandlerFunc(echo), LegacyConfig{}).Mint(t.Context())
		if err == nil || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "key-1") || !strings.Contains(err.Error(), "[redacted]") {
			t.Errorf("reads %q", err)
		}
	})
}

func TestLegacy_LifetimeByTheServersClock(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) string { return fixedNow.Add(d).Format(time.RFC3339) }
	for name, c := range map[string]struct {
		expires string
		date    time.Time
		want    time.Duration
	}{
		"as documented":        {at(24 * time.Hour), fixedNow, 24 * time.Hour},
		"server an hour ahead": {at(25 * time.Hour), fixedNow.Add(time.Hour), 24 * time.Hour},
		"without a Date":       {at(10 * time.Minute), time.Time{}, 10 * time.Minute},
		"in the past":          {at(-time.Minute), fixedNow, time.Hour},
		"a year":               {at(365 * 24 * time.Hour), fixedNow, 24 * time.Hour},
		"nonsense":             {"tomorrow", fixedNow, time.Hour},
		"missing":              {"", fixedNow, time.Hour},
		"with milliseconds":    {"2026-03-01T12:20:00.500Z", fixedNow, 20*time.Minute + 500*time.Millisecond},
		"nearly over":          {"2026-03-01T12:00:00.001Z", fixedNow, time.Second},
	} {
		body := fmt.Sprintf(`{"accessToken":"a","expires":%q}`, c.expires)
		g, refresh, err := readLegacy(reply{body: []byte(body), begun: fixedNow, date: c.date})
		if err != nil || g.Lifetime != c.want || refresh != "" {
			t.Errorf("%s: %s, %v; want %s", name, g.Lifetime, err, c.want)
		}
	}
}

func TestLegacy_SetCredentials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLegacyStandIn()
		l := newTestLegacy(t, s, LegacyConfig{})
		c := startCache(t, l, CacheConfig{})
		bearer(t, c)
		s.set(func() { s.secret, s.refresh = "rotated", "" })
		if err := l.SetCredentials(Secret{}, Secret{}); err == nil {
			t.Error("empty credentials were taken")
		}
		if err := l.SetCredentials(Secret{}, NewSecret("rotated")); err != nil {
			t.Error(err)
		}
		c.Renew()
		synctest.Wait()
		if s.asked() != "authenticate authenticate" || c.Status().Failures != 0 {
			t.Errorf("asked %s, status %+v", s.asked(), c.Status())
		}
		s.set(func() { s.key, s.refresh = "key-2", "" })
		if err := l.SetCredentials(NewSecret("key-2"), Secret{}); err != nil {
			t.Error(err)
		}
		c.Renew()
		synctest.Wait()
		if s.asked() != "authenticate authenticate authenticate" || c.Status().Failures != 0 {
			t.Errorf("asked %s, status %+v", s.asked(), c.Status())
		}
	})
}

func TestLegacy_OneRequestAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLegacyStandIn()
		s.fault = func(http.ResponseWriter, *http.Request) bool { bubble.Sleep(time.Second); return false }
		l := newTestLegacy(t, s, LegacyConfig{})
		begun := time.Now()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() { mintLegacy(t, l) })
		}
		bubble.Sleep(100 * time.Millisecond)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Mint(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		all.Wait()
		if time.Since(begun) != 5*time.Second || strings.Count(s.asked(), "refreshToken") != 4 {
			t.Errorf("%s: asked %s", time.Since(begun), s.asked())
		}
	})
}

func TestNewLegacy_NamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := NewLegacy("", Secret{}, LegacyConfig{URL: "http://api.redoxengine.com/auth", Timeout: -1})
	for _, want := range []string{"auth: legacy: ", "API key is missing", "secret is missing", "https only", "timeout is -1ns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if l, err := NewLegacy("k", NewSecret("s"), LegacyConfig{}); err != nil || l.endpoint.url != DefaultLegacyURL {
		t.Error("the default URL")
	}
}

func TestSetCredentials_OldSecretsAreDropped(t *testing.T) {
	t.Parallel()
	weakly := func(s Secret) weak.Pointer[byte] { return weak.Make(unsafe.StringData(s.Reveal())) }
	l, old := func() (*Legacy, []weak.Pointer[byte]) {
		// Built at run time, and long: constants and tiny strings are never freed alone.
		l := must(NewLegacy(strings.Repeat("an API key ", 10), NewSecret(strings.Repeat("a secret ", 10)), LegacyConfig{}))
		l.keep(strings.Repeat("a refresh token ", 10), l.age)
		return l, []weak.Pointer[byte]{weakly(l.apiKey), weakly(l.secret), weakly(l.refresh)}
	}()
	for _, p := range old {
		if p.Value() == nil {
			t.Fatal("a secret in use was dropped")
		}
	}
	if err := l.SetCredentials(NewSecret("another API key"), NewSecret("the second secret")); err != nil {
		t.Fatal(err)
	}
	held := 0
	for range 10 {
		runtime.GC()
		held = 0
		for _, p := range old {
			if p.Value() != nil {
				held++
			}
		}
		if held == 0 {
			return
		}
	}
	t.Errorf("%d replaced secrets are still in memory", held)
	runtime.KeepAlive(l)
}

// Per request each token is had with the secret, side by side, and no refresh token is kept.
func TestLegacy_PerRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLegacyStandIn()
		s.fault = func(http.ResponseWriter, *http.Request) bool { bubble.Sleep(time.Second); return false }
		l := must(NewLegacy("key-1", NewSecret("s3cr3t"), LegacyConfig{URL: legacyBase, Transport: serve(t, s), PerRequest: true}))
		c := must(NewCache(l, CacheConfig{PerRequest: true}))
		defer stop(t, c)
		begun := time.Now()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { bearer(t, c) })
		}
		all.Wait()
		if time.Since(begun) != time.Second {
			t.Errorf("it took %s", time.Since(begun))
		}
		c.Invalidate("access-1")
		bearer(t, c)
		if got := s.asked(); strings.Count(got, "authenticate") != 11 || strings.Contains(got, "refresh") {
			t.Errorf("asked %s", got)
		}
	})
}
