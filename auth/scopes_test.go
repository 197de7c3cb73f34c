package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// scopeServer makes tokens for each scope, and counts.
type scopeServer struct {
	mu   sync.Mutex
	made map[string]int
	bad  string // a scope that is refused
}

func (s *scopeServer) minter(scope string) Minter {
	return MinterFunc(func(context.Context) (Token, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.made == nil {
			s.made = map[string]int{}
		}
		s.made[scope]++
		if scope == s.bad && scope != "" {
			return Token{}, &TokenError{Op: opToken, Status: http.StatusBadRequest, Code: "invalid_scope"}
		}
		return NewToken(fmt.Sprintf("for:%s:%d", strings.ReplaceAll(scope, " ", "+"), s.made[scope]), time.Now(), time.Now().Add(time.Hour)), nil
	})
}

func (s *scopeServer) count(scope string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made[scope]
}

func scoped(t testing.TB, s *Scopes, scopes ...string) string {
	t.Helper()
	return must(s.Bearer(ContextWithScopes(t.Context(), scopes...)))
}

func TestScopes_OneTokenForOneSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &scopeServer{}
		s := must(NewScopes(server.minter, ScopesConfig{}))
		defer func() { _ = s.Close() }()
		for range 3 {
			for _, same := range [][]string{{"system/Patient.rs", "system/Observation.rs"}, {"system/Observation.rs system/Patient.rs"}, {" system/Patient.rs ", "system/Observation.rs", "system/Patient.rs"}} {
				if got := scoped(t, s, same...); got != "for:system/Observation.rs+system/Patient.rs:1" {
					t.Errorf("%q gave %s", same, got)
				}
			}
		}
		if got := must(s.Bearer(t.Context())); got != "for::1" {
			t.Errorf("without scopes %s", got)
		}
		c := must(s.Cache("system/Patient.rs", "system/Observation.rs"))
		if c.Status().Mints != 1 {
			t.Errorf("%+v", c.Status())
		}
		s.Invalidate("for:system/Observation.rs+system/Patient.rs:1")
		if got := scoped(t, s, "system/Patient.rs system/Observation.rs"); got != "for:system/Observation.rs+system/Patient.rs:2" || must(s.Bearer(t.Context())) != "for::1" {
			t.Errorf("after a refusal %s", got)
		}
	})
}

// 50,000 sets go by and the ones in use notice nothing; what is kept is bounded.
func TestScopes_AreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &scopeServer{}
		s := must(NewScopes(server.minter, ScopesConfig{Max: 10}))
		for i := range 50_000 {
			if i%5 == 0 {
				scoped(t, s, "hot")
			}
			scoped(t, s, fmt.Sprintf("system/%d.rs", i))
		}
		if n := server.count("hot"); n != 1 {
			t.Errorf("%d tokens for the set in use", n)
		}
		s.mu.Lock()
		if len(s.sets) != 10 || s.used.Len() != 10 || len(s.gone) > 1 {
			t.Errorf("%d sets, %d in use, %d gone are kept", len(s.sets), s.used.Len(), len(s.gone))
		}
		s.mu.Unlock()
		_ = s.Close()
		if _, err := s.Bearer(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

// A set that is refused, and one whose endpoint hangs, are their own business.
func TestScopes_NeighboursNoticeNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &scopeServer{bad: "bad"}
		s := must(NewScopes(func(scope string) Minter {
			if scope == "hangs" {
				return MinterFunc(func(ctx context.Context) (Token, error) { <-ctx.Done(); return Token{}, ctx.Err() })
			}
			return server.minter(scope)
		}, ScopesConfig{Max: 2}))
		go func() { _, _ = s.Bearer(ContextWithScopes(t.Context(), "hangs")) }()
		synctest.Wait()
		begun := time.Now()
		for range 100 {
			if _, err := s.Bearer(ContextWithScopes(t.Context(), "bad")); !strings.Contains(err.Error(), "invalid_scope") {
				t.Error(err)
			}
			scoped(t, s, "good")
		}
		if server.count("bad") != 1 || server.count("good") != 1 || time.Since(begun) != 0 {
			t.Errorf("bad asked %d times, good %d, in %s", server.count("bad"), server.count("good"), time.Since(begun))
		}
		_ = s.Close() // that of a set whose place was taken ends as well, else the bubble fails
	})
}

func TestScopes_AskTheServerForThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newStandIn(t, ecKey("k"))
		o := newTestOAuth(t, server, ecKey("k"), OAuthConfig{Scope: "system/*.rs", Params: map[string][]string{"resource": {"https://fhir.example", "b"}},
			Claims: map[string]any{"email": "ops@example.org", "n": []int{1}}})
		s := must(NewScopes(o.WithScope, ScopesConfig{}))
		defer func() { _ = s.Close() }()
		scoped(t, s, "system/Patient.rs", "system/Encounter.rs")
		c := must(s.Cache("system/Encounter.rs system/Patient.rs"))
		if got := c.Status(); got.KeyID != "k" || !got.Usable {
			t.Errorf("%+v", got)
		}
		must(o.Mint(t.Context()))
		for i, want := range []string{"system/Encounter.rs system/Patient.rs", "system/*.rs"} {
			form := server.forms[i]
			if got := strings.Join(form["scope"], "|"); got != want {
				t.Errorf("scope %q, want %q", got, want)
			}
			if strings.Join(form["resource"], "|") != "https://fhir.example|b" || len(form) != 5 {
				t.Errorf("the form is %v", form)
			}
			claims := part(t, form["client_assertion"][0], 1)
			if claims["email"] != "ops@example.org" || fmt.Sprint(claims["n"]) != "[1]" || claims["iss"] != "client-1" || len(claims) != 8 {
				t.Errorf("the claims are %v", claims)
			}
		}
	})
}

func TestNewScopes_Refuses(t *testing.T) {
	t.Parallel()
	good := func(string) Minter { return &bench{} }
	for name, c := range map[string]struct {
		minter func(string) Minter
		cfg    ScopesConfig
		want   string
	}{
		"no function": {nil, ScopesConfig{}, "there is no function"},
		"too many":    {good, ScopesConfig{Max: 5000}, "give 1 to 4096"},
		"negative":    {good, ScopesConfig{Max: -1}, "give 1 to 4096"},
		"the cache's": {good, ScopesConfig{Cache: CacheConfig{Pool: -1}}, "pool is -1"},
	} {
		if _, err := NewScopes(c.minter, c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{`a"b`, `a\b`, "ä", "a\x00", strings.Repeat("a", 4097)} {
		s := must(NewScopes(good, ScopesConfig{}))
		if _, err := s.Bearer(ContextWithScopes(t.Context(), bad)); err == nil {
			t.Errorf("%.10q was taken", bad)
		}
		if _, err := s.Cache(bad); err == nil {
			t.Errorf("%.10q was taken", bad)
		}
	}
	s := must(NewScopes(func(string) Minter { panic(hostileValue) }, ScopesConfig{}))
	if _, err := s.Bearer(t.Context()); err == nil || strings.Contains(err.Error(), hostileValue) {
		t.Error(err)
	}
	s = must(NewScopes(func(string) Minter { return nil }, ScopesConfig{}))
	if _, err := s.Bearer(t.Context()); err == nil {
		t.Error("no Minter was taken")
	}
}

func TestNewOAuth_RefusesParamsAndClaims(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]OAuthConfig{
		"the parameter grant_type is set already":       {Params: map[string][]string{"grant_type": {"x"}}},
		"the parameter client_assertion is set already": {Params: map[string][]string{"client_assertion": {"x"}}},
		"use Scope":                               {Params: map[string][]string{"scope": {"x"}}},
		"a parameter has no name":                 {Params: map[string][]string{"": {"x"}}},
		"the claim aud is set already":            {Claims: map[string]any{"aud": "x"}},
		"the claim nbf is set already":            {Claims: map[string]any{"nbf": 1}},
		"a claim has no name":                     {Claims: map[string]any{"": 1}},
		`the claim "f" cannot be written as JSON`: {Claims: map[string]any{"f": func() {}}},
	} {
		if _, err := NewOAuth("c", ecKey("k"), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	claims := map[string]any{"list": []string{"a"}}
	params := map[string][]string{"p": {"a"}}
	o := must(NewOAuth("c", ecKey("k"), OAuthConfig{Claims: claims, Params: params}))
	claims["list"].([]string)[0], params["p"][0] = "b", "b"
	signed := must(o.assertion.sign(t.Context(), ecKey("k"), fixedNow))
	if got := fmt.Sprint(part(t, signed.Reveal(), 1)["list"]); got != "[a]" || o.params.Get("p") != "a" {
		t.Errorf("they changed afterwards: %s, %s", got, o.params.Get("p"))
	}
}

// Plain http goes to hosts that were named for tests, exactly, and the log says so.
func TestHTTPHosts_AreNamed(t *testing.T) {
	t.Parallel()
	for url, hosts := range map[string][]string{
		"http://sim:8080/token": {"sim"}, "http://SIM/token": {"other", "sim"}, "http://host.docker.internal/x": {"host.docker.internal"},
		"http://10.1.2.3/x": {"10.1.2.3"}, "http://[fd00::1]:80/x": {"fd00::1"},
	} {
		log := &logBook{}
		o, err := NewOAuth("c", ecKey("k"), OAuthConfig{TokenURL: url, HTTPHosts: hosts, Logger: log.logger()})
		if err != nil || o == nil || strings.Count(log.String(), "for tests alone") != 1 {
			t.Errorf("%s: %v, log %s", url, err, log)
		}
		_, legacy := NewLegacy("k", NewSecret("s"), LegacyConfig{URL: url, HTTPHosts: hosts})
		_, transport := NewTransport(must(NewCache(&bench{}, CacheConfig{})), url, TransportConfig{HTTPHosts: hosts})
		if legacy != nil || transport != nil {
			t.Errorf("%s: %v, %v", url, legacy, transport)
		}
	}
	for url, hosts := range map[string][]string{
		"http://sim/x": nil, "http://sim.example/x": {"sim"}, "http://notsim/x": {"sim"}, "ftp://sim/x": {"sim"},
		"http://a/1": {"*"}, "http://a/2": {"http://a"}, "http://a/3": {"a:80"}, "http://a/4": {""}, "http://a/5": {"a", " b"},
	} {
		_, oauth := NewOAuth("c", ecKey("k"), OAuthConfig{TokenURL: url, HTTPHosts: hosts})
		_, legacy := NewLegacy("k", NewSecret("s"), LegacyConfig{URL: url, HTTPHosts: hosts})
		_, transport := NewTransport(must(NewCache(&bench{}, CacheConfig{})), url, TransportConfig{HTTPHosts: hosts})
		for _, err := range []error{oauth, legacy, transport} {
			if err == nil {
				t.Errorf("%s with %q was taken", url, hosts)
			}
		}
	}
	log := &logBook{}
	must(NewOAuth("c", ecKey("k"), OAuthConfig{TokenURL: "http://127.0.0.1/x", Logger: log.logger()}))
	if log.String() != "" {
		t.Errorf("a loopback host: %s", log)
	}
}
