package smart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var (
	es384 = sync.OnceValue(func() auth.Key { return must(auth.GenerateKey(auth.ES384, "k")) })
	rsa   = sync.OnceValue(func() auth.Key { return must(auth.GenerateKey(auth.RS384, "r")) })
)

const base = "https://fhir.example/r4"

// server is a FHIR server with its metadata, and a token endpoint that takes everything. It is
// a transport, so that it works in a bubble.
type server struct {
	mu       sync.Mutex
	document map[string]any
	answer   func(w http.ResponseWriter, r *http.Request) bool // true: answered
	gone     string                                            // a token endpoint that is not there any more
	control  string
	asked    map[string]int
}

func newServer() *server {
	return &server{asked: map[string]int{}, document: map[string]any{
		"token_endpoint": "https://fhir.example/token", "grant_types_supported": []string{"authorization_code", "client_credentials"},
		"token_endpoint_auth_methods_supported":            []string{"private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"RS384", "ES384"},
		"scopes_supported":                                 []string{"system/*.rs"}, "capabilities": []string{"client-confidential-asymmetric"},
	}}
}

func (s *server) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *server) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	s.mu.Lock()
	url := r.URL.Scheme + "://" + r.URL.Host + r.URL.Path
	s.asked[url]++
	answer := s.answer
	s.mu.Unlock()
	if answer == nil || !answer(w, r) {
		s.serve(w, r, url)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (s *server) serve(w http.ResponseWriter, r *http.Request, url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Method == http.MethodGet && url == base+wellKnown:
		if s.control != "" {
			w.Header().Set("Cache-Control", s.control)
		}
		_ = json.NewEncoder(w).Encode(s.document)
	case r.Method == http.MethodPost && url == s.document["token_endpoint"] && url != s.gone:
		_, _ = io.WriteString(w, `{"access_token":"abc","token_type":"bearer","expires_in":300,"scope":"`+r.FormValue("scope")+`"}`)
	default:
		http.NotFound(w, r)
	}
}

func client(t testing.TB, s *server, k auth.Key, cfg Config) *Client {
	t.Helper()
	cfg.OAuth.Transport = s
	c, err := New(base, "client-1", k, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClient_FindsTheEndpointOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.answer = func(http.ResponseWriter, *http.Request) bool { bubble.Sleep(time.Millisecond); return false }
		c := client(t, s, es384(), Config{OAuth: auth.OAuthConfig{Scope: "system/*.rs"}})
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if _, err := c.Mint(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n, tokens := s.count(base+wellKnown), s.count("https://fhir.example/token"); n != 1 || tokens != 1000 {
			t.Errorf("asked %d times, and for %d tokens", n, tokens)
		}
		d, err := c.Discover(t.Context())
		if err != nil || d.TokenURL != "https://fhir.example/token" || len(d.Algorithms) != 2 || len(d.Scopes) != 1 || len(d.Capabilities) != 1 || time.Until(d.Until) > time.Hour {
			t.Errorf("%+v, %v", d, err)
		}
		token, err := c.WithScope("system/Patient.rs").Mint(t.Context())
		if err != nil || token.Scope != "system/Patient.rs" || c.KeyInUse().ID() != "k" || len(c.Keys()) != 1 {
			t.Errorf("%v, %v", token.Scope, err)
		}
		if checks := c.Check(t.Context()); len(checks) != 1 || !checks[0].OK() {
			t.Errorf("%+v", checks)
		}
		if _, known := c.Skew(); known {
			t.Error("a clock without a Date")
		}
	})
}

// The document is kept as long as the server says, within bounds; one that cannot be had again
// leaves the one before in use.
func TestClient_Keeps(t *testing.T) {
	t.Parallel()
	for control, want := range map[string]time.Duration{
		"": time.Hour, "max-age=600": 10 * time.Minute, "public, Max-Age=\"7200\"": 2 * time.Hour, "max-age=1": time.Minute, "no-store": time.Minute,
		"max-age=99999999999999999999": time.Hour, "max-age=2147483647": 24 * time.Hour, "max-age=-5": time.Hour, "private": time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			s, log := newServer(), &bytes.Buffer{}
			s.control = control
			c := client(t, s, es384(), Config{OAuth: auth.OAuthConfig{Logger: slog.New(slog.NewTextHandler(log, nil))}})
			mint := func() {
				t.Helper()
				if _, err := c.Mint(t.Context()); err != nil {
					t.Error(err)
				}
			}
			mint()
			bubble.Sleep(want - time.Second)
			mint()
			if n := s.count(base + wellKnown); n != 1 {
				t.Errorf("%s: asked %d times before", control, n)
			}
			bubble.Sleep(time.Second)
			mint()
			if n := s.count(base + wellKnown); n != 2 {
				t.Errorf("%s: asked %d times after", control, n)
			}
			s.set(func() {
				s.answer = func(w http.ResponseWriter, r *http.Request) bool {
					bad := r.Method == http.MethodGet
					if bad {
						w.WriteHeader(http.StatusServiceUnavailable)
					}
					return bad
				}
			})
			bubble.Sleep(want)
			for range 10 {
				mint()
			}
			bubble.Sleep(time.Minute)
			mint()
			if n := s.count(base + wellKnown); n != 4 || strings.Count(log.String(), "the one before serves") != 1 {
				t.Errorf("%s: asked %d times while it is down, log %s", control, n, log)
			}
		})
	}
}

// An endpoint that has moved is found again, and the keys go with it.
func TestClient_FollowsTheEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		c := client(t, s, rsa(), Config{})
		if _, err := c.Mint(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.SetKeys(es384(), auth.Key{}); err != nil {
			t.Fatal(err)
		}
		s.set(func() {
			s.gone = "https://fhir.example/token"
			s.document["token_endpoint"] = "https://fhir.example/v2/token"
		})
		for range 50 { // a minute at most, and no more than one request for the document
			_, _ = c.Mint(t.Context())
			bubble.Sleep(2 * time.Second)
		}
		if _, err := c.Mint(t.Context()); err != nil || c.KeyInUse().ID() != "k" {
			t.Errorf("%s, %v", c.KeyInUse(), err)
		}
		if n := s.count(base + wellKnown); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestClient_RefusesWhatIsNotSafe(t *testing.T) {
	t.Parallel()
	set := func(name string, value any) func(*server) { return func(s *server) { s.document[name] = value } }
	answer := func(f http.HandlerFunc) func(*server) {
		return func(s *server) {
			s.answer = func(w http.ResponseWriter, r *http.Request) bool { f(w, r); return true }
		}
	}
	const algorithms = "token_endpoint_auth_signing_alg_values_supported"
	for name, c := range map[string]struct {
		spoil func(*server)
		key   auth.Key
		cfg   Config
		says  []string
		soon  bool
	}{
		"plain http":        {set("token_endpoint", "http://fhir.example/token"), es384(), Config{}, []string{"credentials go to https only"}, false},
		"http, named":       {set("token_endpoint", "http://fhir.example/token"), es384(), Config{OAuth: auth.OAuthConfig{HTTPHosts: []string{"fhir.example"}}}, []string{"is http, and the FHIR base is https"}, false},
		"this machine":      {set("token_endpoint", "http://127.0.0.1/token"), es384(), Config{}, []string{"is http, and"}, false},
		"another host":      {set("token_endpoint", "https://login.example/token"), es384(), Config{}, []string{"at another host, login.example", "name that host in TokenHosts"}, false},
		"below another":     {set("token_endpoint", "https://fhir.example.evil.example/token"), es384(), Config{TokenHosts: []string{"evil.example"}}, []string{"at another host"}, false},
		"an endless host":   {set("token_endpoint", "ftp://"+strings.Repeat("a", 100_000)), es384(), Config{}, []string{"credentials go to https only"}, false},
		"a password":        {set("token_endpoint", "https://u:hunter2@fhir.example/token"), es384(), Config{}, []string{"has a user or password"}, false},
		"no endpoint":       {set("token_endpoint", ""), es384(), Config{}, []string{"names no token_endpoint"}, false},
		"a list":            {set("token_endpoint", []string{"a"}), es384(), Config{}, []string{"not a JSON object of its kind"}, false},
		"secrets only":      {set("token_endpoint_auth_methods_supported", []string{"client_secret_basic"}), es384(), Config{}, []string{"no signed assertions"}, false},
		"people only":       {set("grant_types_supported", []string{"authorization_code"}), es384(), Config{}, []string{"no tokens to services"}, false},
		"another algorithm": {set(algorithms, []string{"RS256", "PS256", "HS256"}), rsa(), Config{}, []string{"takes RS256, PS256, HS256, and the key signs RS384", "set the algorithm to PS256 or RS256"}, false},
		"another key":       {set(algorithms, []string{"RS384"}), es384(), Config{}, []string{"takes RS384, and the key signs ES384", "use a key for one of these"}, false},
		"HTML":              {answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hunter2") }), es384(), Config{}, []string{"not a JSON object"}, false},
		"too large": {answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxDocument+1)) }), es384(), Config{},
			[]string{"larger than 262144 bytes"}, false},
		"a redirect": {answer(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/hunter2", http.StatusFound)
		}), es384(), Config{}, []string{"status 302", "redirects are not followed"}, false},
		"none":    {answer(http.NotFound), es384(), Config{}, []string{"status 404", "give its token endpoint to auth.NewOAuth"}, false},
		"failing": {answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }), es384(), Config{}, []string{"status 502", "wait"}, true},
		"a panic": {func(s *server) {
			s.answer = func(http.ResponseWriter, *http.Request) bool { panic("hunter2") }
		}, es384(), Config{}, []string{"panicked with a string"}, true},
	} {
		s := newServer()
		c.spoil(s)
		one := client(t, s, c.key, c.cfg)
		_, err := one.Mint(t.Context())
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Temporary() != c.soon || e.Heals() == c.soon || e.Mend() == "" || e.Attempted() {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range append(c.says, base+wellKnown) {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v\nwant %q", name, err, want)
			}
		}
		if strings.Contains(err.Error(), "hunter2") || len(err.Error()) > 600 {
			t.Errorf("%s: quotes: %v", name, err)
		}
		if checks := one.Check(t.Context()); checks[0].OK() || checks[0].Mend != e.Mend() {
			t.Errorf("%s: %+v", name, checks)
		}
		for url, n := range s.asked {
			if url != base+wellKnown {
				t.Errorf("%s: %s was asked %d times", name, url, n)
			}
		}
		cache := must(auth.NewCache(one, auth.CacheConfig{}))
		_, _ = cache.Bearer(t.Context())
		if got := cache.Status(); got.Mend != e.Mend() || got.Usable {
			t.Errorf("%s: %+v", name, got)
		}
		_ = cache.Close()
	}
}

func TestNew_Refuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		base string
		id   string
		key  auth.Key
		cfg  Config
		want string
	}{
		"Redox":          {"https://api.redoxengine.com/fhir/R4", "c", es384(), Config{}, "use auth.NewOAuth, which knows"},
		"Redox, Canada":  {"https://API.ca.RedoxEngine.com", "c", es384(), Config{}, "use auth.NewOAuth, which knows"},
		"http":           {"http://fhir.example", "c", es384(), Config{}, "https only"},
		"a query":        {base + "?a=b", "c", es384(), Config{}, "has a query: remove it"},
		"no host":        {"r4", "c", es384(), Config{}, "has no host"},
		"a token URL":    {base, "c", es384(), Config{OAuth: auth.OAuthConfig{TokenURL: "https://a/b"}}, "remove it, or use auth.NewOAuth"},
		"no client":      {base, "", es384(), Config{}, "client id is missing"},
		"no key":         {base, "c", auth.Key{}, Config{}, "private key is missing"},
		"wrong pairing":  {base, "c", es384(), Config{OAuth: auth.OAuthConfig{Algorithm: auth.RS256}}, "change one of the two"},
		"negative times": {base, "c", es384(), Config{OAuth: auth.OAuthConfig{Timeout: -1}}, "timeout is -1ns"},
	} {
		if _, err := New(c.base, c.id, c.key, c.cfg); err == nil || !strings.HasPrefix(err.Error(), "smart: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, good := range []string{"https://redoxengine.com.example", "https://notredoxengine.com", "http://localhost:8080/fhir/"} {
		if _, err := New(good, "c", es384(), Config{}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

// A server that does not answer costs a caller its own time alone.
func TestClient_ACallerMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.answer = func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
		c := client(t, s, es384(), Config{})
		var all sync.WaitGroup
		all.Go(func() {
			begun := time.Now()
			_, err := c.Mint(t.Context())
			if e, ok := errors.AsType[*Error](err); !ok || !e.Temporary() || time.Since(begun) != defaultTimeout {
				t.Errorf("after %s: %v", time.Since(begun), err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Mint(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		all.Wait()
	})
}

func FuzzReadDocument(f *testing.F) {
	f.Add([]byte(`{"token_endpoint":"https://a/b","grant_types_supported":["client_credentials"]}`))
	f.Add([]byte(`{"token_endpoint":1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := readDocument(body)
		if err != nil {
			if len(err.Error()) > 100 {
				t.Fatalf("it quotes the document: %q", err)
			}
			return
		}
		c := must(New(base, "c", es384(), Config{}))
		mend, why := d.checkEndpoint(c.base, c.cfg)
		if why == nil && !strings.HasPrefix(strings.ToLower(d.TokenURL), "https://fhir.example") || why != nil && mend == "" || len(fmt.Sprint(why)) > 400 {
			t.Fatalf("%q: %v", d.TokenURL, why)
		}
	})
}
