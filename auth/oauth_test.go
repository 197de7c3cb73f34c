package auth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOAuth_MintsWhatAStrictServerTakes(t *testing.T) {
	t.Parallel()
	for _, k := range []Key{rsaKey("kid-1"), ecKey("kid-1")} {
		synctest.Test(t, func(t *testing.T) {
			s := newStandIn(t, k)
			o := newTestOAuth(t, s, k, OAuthConfig{Scope: "fhir:development system/*.read"})
			for range 3 {
				token, err := o.Mint(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if !s.valid(token.Value()) || token.Lifetime() != 5*time.Minute || token.Type != "bearer" {
					t.Errorf("got %+v of type %q", token, token.Type)
				}
			}
			form := s.forms[0]
			delete(form, "client_assertion")
			want := map[string][]string{
				"grant_type":            {"client_credentials"},
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
				"scope":                 {"fhir:development system/*.read"},
			}
			if d := cmp.Diff(want, form); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOAuth_NoScopeUnlessAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t, ecKey("k"))
		o := newTestOAuth(t, s, ecKey("k"), OAuthConfig{})
		if _, err := o.Mint(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, ok := s.forms[0]["scope"]; ok || len(s.forms[0]) != 3 {
			t.Errorf("the form is %v", s.forms[0])
		}
	})
}

func TestOAuth_AudienceIsTheTokenURLUnlessSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t, ecKey("k"))
		s.audience = "https://issuer.example"
		if _, err := newTestOAuth(t, s, ecKey("k"), OAuthConfig{}).Mint(t.Context()); err == nil {
			t.Error("the token URL was taken as audience")
		}
		if _, err := newTestOAuth(t, s, ecKey("k"), OAuthConfig{Audience: s.audience}).Mint(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestNewOAuth_NamesEveryProblem(t *testing.T) {
	t.Parallel()
	k := ecKey("k1")
	for name, c := range map[string]struct {
		clientID string
		key      Key
		cfg      OAuthConfig
		want     []string
	}{
		"all missing":       {"", Key{}, OAuthConfig{}, []string{"client id is missing", "private key is missing"}},
		"no kid":            {"c", ecKey(""), OAuthConfig{}, []string{"has no kid"}},
		"next without kid":  {"c", k, OAuthConfig{Next: rsaKey("")}, []string{"the next key has no kid"}},
		"same kid":          {"c", k, OAuthConfig{Next: rsaKey("k1")}, []string{`two different keys have the kid "k1"`}},
		"other algorithm":   {"c", k, OAuthConfig{Algorithm: RS384}, []string{"the key cannot sign RS384, it is good for ES384"}},
		"unknown algorithm": {"c", k, OAuthConfig{Algorithm: "HS256"}, []string{`"HS256" is not taken`, "use RS256, RS384"}},
		"P-256, unasked":    {"c", must(newKey(p256Numbers(), "k")), OAuthConfig{}, []string{"the key signs ES256", "set the algorithm to ES256"}},
		"signs slowly":      {"c", k, OAuthConfig{SignTimeout: -1}, []string{"sign timeout is -1ns"}},
		"plain http":        {"c", k, OAuthConfig{TokenURL: "http://api.redoxengine.com/x"}, []string{"https only"}},
		"not a URL":         {"c", k, OAuthConfig{TokenURL: "https://a:pass word@b"}, []string{"cannot be read"}},
		"no host":           {"c", k, OAuthConfig{TokenURL: "token"}, []string{"no host"}},
		"password":          {"c", k, OAuthConfig{TokenURL: "https://u:hunter2@h/x"}, []string{"password"}},
		"fragment":          {"c", k, OAuthConfig{TokenURL: "https://h/x#y"}, []string{"fragment"}},
		"long assertion":    {"c", k, OAuthConfig{AssertionLifetime: 6 * time.Minute}, []string{"assertion lifetime is 6m0s"}},
		"negative":          {"c", k, OAuthConfig{Timeout: -1, AssertionLifetime: -1}, []string{"timeout is -1ns", "assertion lifetime is -1ns"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := NewOAuth(c.clientID, c.key, c.cfg)
			if err == nil || o != nil {
				t.Fatal("taken")
			}
			if !strings.HasPrefix(err.Error(), "auth: oauth: ") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("reads %q", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("reads %q, want %q in it", err, w)
				}
			}
		})
	}
	for _, u := range []string{"http://127.0.0.1:1/x", "http://[::1]/x", "http://localhost:8080", "https://api.ca.redoxengine.com/v2/auth/token"} {
		if err := (OAuthConfig{TokenURL: u}).Validate(); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestOAuth_RefusalsAreTyped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t, ecKey("registered"))
		_, err := newTestOAuth(t, s, ecKey("k2"), OAuthConfig{}).Mint(t.Context())
		e, ok := errors.AsType[*TokenError](err)
		if !ok {
			t.Fatalf("got %v", err)
		}
		e.Skew = 0 // the Date header has whole seconds
		want := &TokenError{
			Op: "token", Host: "localhost", KeyID: "k2", Status: 400, Code: "invalid_request",
			Description: "Public key not found, check client_id, kid and Redox dashboard settings",
			URI:         "https://docs.redoxengine.com/permalink/abc",
		}
		if d := cmp.Diff(want, e, cmp.AllowUnexported(TokenError{})); d != "" {
			t.Error(d)
		}
		if e.Temporary() || !e.Heals() || e.Attempted() {
			t.Error("an unknown key heals, slowly")
		}
	})
}

// echo answers with what it was sent, as some proxies and frameworks do.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write([]byte("<html><body>bad request: "))
	_, _ = w.Write(body)
}

// hang answers nothing until the client goes away, which the server notices only
// after it has read the body.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func TestOAuth_NeverQuotesTheAssertion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, err := newTestOAuth(t, http.HandlerFunc(echo), ecKey("k"), OAuthConfig{}).Mint(t.Context())
		if err == nil || strings.Contains(err.Error(), "eyJ") || !strings.Contains(err.Error(), "bad request: client_assertion=[redacted]") {
			t.Errorf("reads %q", err)
		}
	})
}

func TestOAuth_AnErrorUnderStatus200IsARefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"error":"invalid_client","error_description":"no such client"}`))
		})
		_, err := newTestOAuth(t, h, ecKey("k"), OAuthConfig{}).Mint(t.Context())
		if e, ok := errors.AsType[*TokenError](err); !ok || e.Code != "invalid_client" || !e.Heals() {
			t.Errorf("got %v", err)
		}
	})
}

// TestOAuth_RecoversFromAReplay has a proxy on the way that sends each request
// twice, until it is mended.
func TestOAuth_RecoversFromAReplay(t *testing.T) {
	t.Parallel()
	for name, says := range map[string][2]string{
		"as ory/fosite says it": {"jti_known", "The jti was already used."},
		"as Redox says it":      {"invalid_request", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStandIn(t, ecKey("k"))
			known := false
			s.fault = func(w http.ResponseWriter, _ *http.Request) bool {
				if known {
					return false
				}
				known = true
				s.refuse(w, http.StatusBadRequest, says[0], says[1])
				return true
			}
			o := newTestOAuth(t, s, ecKey("k"), OAuthConfig{})
			if _, err := o.Mint(t.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if asked, made := s.counts(); asked != 2 || made != 1 {
				t.Errorf("%s: %d requests made %d tokens", name, asked, made)
			}
		})
	}
}

func TestOAuth_MintEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newTestOAuth(t, http.HandlerFunc(hang), ecKey("k"), OAuthConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		if _, err := o.Mint(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if _, err := o.Mint(t.Context()); err == nil || time.Since(begun) != 3*time.Second+defaultTimeout {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}
