package conformance

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/storage"

	"github.com/redoxworker/redoxworker/auth"
)

// fositeServer is ory/fosite over real HTTP: client_credentials with
// private_key_jwt, one client for each algorithm, named after it.
type fositeServer struct {
	*httptest.Server
	store *storage.MemoryStore
}

func newFosite(t *testing.T) *fositeServer {
	t.Helper()
	config := &fosite.Config{
		GlobalSecret:        []byte("32 bytes for the tokens' HMAC key"),
		AccessTokenLifespan: 5 * time.Minute,
		ScopeStrategy:       fosite.ExactScopeStrategy,
	}
	s := &fositeServer{store: storage.NewMemoryStore()}
	provider := compose.Compose(config, s.store, compose.NewOAuth2HMACStrategy(config), compose.OAuth2ClientCredentialsGrantFactory)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		request, err := provider.NewAccessRequest(ctx, r, new(fosite.DefaultSession))
		if err != nil {
			provider.WriteAccessError(ctx, w, request, err)
			return
		}
		for _, scope := range request.GetRequestedScopes() {
			request.GrantScope(scope)
		}
		answer, err := provider.NewAccessResponse(ctx, request)
		if err != nil {
			provider.WriteAccessError(ctx, w, request, err)
			return
		}
		provider.WriteAccessResponse(ctx, w, request, answer)
	}))
	t.Cleanup(s.Close)
	config.TokenURL = s.URL + "/token"
	return s
}

func (s *fositeServer) tokenURL() string { return s.URL + "/token" }

// register adds or replaces the client of an algorithm.
func (s *fositeServer) register(t *testing.T, a auth.Algorithm, keys ...auth.Key) {
	t.Helper()
	s.registerAs(t, string(a), a, keys...)
}

// registerAs is register for a client of another name.
func (s *fositeServer) registerAs(t *testing.T, id string, a auth.Algorithm, keys ...auth.Key) {
	t.Helper()
	set := new(jose.JSONWebKeySet)
	if err := json.Unmarshal(publicSet(t, keys...), set); err != nil {
		t.Fatal(err)
	}
	s.store.Clients[id] = &fosite.DefaultOpenIDConnectClient{
		DefaultClient: &fosite.DefaultClient{
			ID: id, GrantTypes: []string{"client_credentials"}, Scopes: []string{"fhir:development"},
		},
		JSONWebKeys:                       set,
		TokenEndpointAuthMethod:           "private_key_jwt",
		TokenEndpointAuthSigningAlgorithm: string(a),
	}
}

func TestFosite_TakesBothAlgorithms(t *testing.T) {
	t.Parallel()
	for _, a := range algorithms {
		t.Run(string(a), func(t *testing.T) {
			t.Parallel()
			s, k := newFosite(t), generate(t, a, "")
			s.register(t, a, k)
			o := client(t, string(a), k, s.tokenURL(), auth.OAuthConfig{Scope: "fhir:development"})
			seen := map[string]bool{}
			for range 5 {
				token, err := o.Mint(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if life := token.Lifetime(); life < 4*time.Minute || life > 5*time.Minute || !strings.EqualFold(token.Type, "bearer") || token.Scope != "fhir:development" {
					t.Errorf("a %s token of %s, scope %q", token.Type, life, token.Scope)
				}
				seen[token.Value()] = true
			}
			if len(seen) != 5 {
				t.Errorf("%d different tokens", len(seen))
			}
		})
	}
}

// Every algorithm, by a key in a file and by one that is elsewhere: the server takes what it
// has registered, refuses a replay, and refuses the same key with another algorithm.
func TestFosite_JudgesEveryAlgorithmAndKindOfKey(t *testing.T) {
	t.Parallel()
	var results table
	s := newFosite(t)
	everyKey(t, func(t *testing.T, name string, a auth.Algorithm, k auth.Key) {
		s.registerAs(t, name, a, adapted(t, k, a))
		r := &recorder{}
		o := client(t, name, k, s.tokenURL(), auth.OAuthConfig{Algorithm: a, Scope: "fhir:development", Transport: r})
		for range 3 {
			if _, err := o.Mint(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		distinct(t, r.jtis(t), 3)
		if status, code := postForm(t, s.tokenURL(), r.bodies[0]); status != http.StatusBadRequest || code != "jti_known" {
			t.Errorf("the replay: %d %s", status, code)
		}
		if other, ok := another(a); ok {
			_, err := client(t, name, k, s.tokenURL(), auth.OAuthConfig{Algorithm: other}).Mint(t.Context())
			if e, refused := errors.AsType[*auth.TokenError](err); !refused || e.Code != "invalid_client" {
				t.Errorf("%s was taken where %s is registered: %v", other, a, err)
			}
		}
		results.row(name, "fosite takes it, refuses its replay")
	})
	results.print(t)
}

func TestFosite_ReadsKeysInEveryForm(t *testing.T) {
	t.Parallel()
	for _, a := range algorithms {
		s, k := newFosite(t), generate(t, a, "kid-1")
		s.register(t, a, k)
		for _, marshal := range []func() ([]byte, error){k.MarshalPEM, k.MarshalJWK} {
			data, err := marshal()
			if err != nil {
				t.Fatal(err)
			}
			again, err := auth.ParsePrivateKey(data, "kid-1")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client(t, string(a), again, s.tokenURL(), auth.OAuthConfig{}).Mint(t.Context()); err != nil {
				t.Errorf("%s: %v", a, err)
			}
		}
	}
}

func TestFosite_RefusesAReplayAndTakesTheNextAssertion(t *testing.T) {
	t.Parallel()
	for _, a := range algorithms {
		t.Run(string(a), func(t *testing.T) {
			t.Parallel()
			s, k, r := newFosite(t), generate(t, a, "k"), &recorder{}
			s.register(t, a, k)
			o := client(t, string(a), k, s.tokenURL(), auth.OAuthConfig{Transport: r})
			if _, err := o.Mint(t.Context()); err != nil {
				t.Fatal(err)
			}
			if status, code := postForm(t, s.tokenURL(), r.bodies[0]); status != http.StatusBadRequest || code != "jti_known" {
				t.Errorf("the replay by hand: %d %s", status, code)
			}

			r.replay = 1 // once: the same call gets over it
			if _, err := o.Mint(t.Context()); err != nil {
				t.Errorf("after one replay: %v", err)
			}
			r.replay = 2 // for the whole call: it fails as temporary, the next one is good
			_, err := o.Mint(t.Context())
			if e, ok := errors.AsType[*auth.TokenError](err); !ok || e.Code != "jti_known" || !e.Temporary() {
				t.Errorf("after two replays: %v", err)
			}
			if _, err := o.Mint(t.Context()); err != nil {
				t.Errorf("the next one: %v", err)
			}
			distinct(t, r.jtis(t), 6)
		})
	}
}

// distinct expects n values of which no two are the same.
func distinct(t *testing.T, values []string, n int) {
	t.Helper()
	seen := map[string]bool{}
	for _, v := range values {
		seen[v] = true
	}
	if len(values) != n || len(seen) != n {
		t.Errorf("%d requests with %d different jti, want %d", len(values), len(seen), n)
	}
}

func TestFosite_RotationWithOverlap(t *testing.T) {
	t.Parallel()
	s, old, next := newFosite(t), generate(t, auth.RS384, "old"), generate(t, auth.RS384, "next")
	s.register(t, auth.RS384, old, next)
	o := client(t, "RS384", old, s.tokenURL(), auth.OAuthConfig{Next: next})
	for _, c := range o.Check(t.Context()) {
		if !c.OK() {
			t.Errorf("%s: %v", c.Role, c.Err)
		}
	}
	s.store.Clients = map[string]fosite.Client{} // the whole client is gone: invalid_client for both
	if _, err := o.Mint(t.Context()); err == nil || !strings.Contains(err.Error(), "both keys failed") {
		t.Errorf("got %v", err)
	}
}

func TestFosite_RefusalsAreUnderstood(t *testing.T) {
	t.Parallel()
	s, k := newFosite(t), generate(t, auth.ES384, "k")
	s.register(t, auth.ES384, k)
	for name, c := range map[string]struct {
		id    string
		key   auth.Key
		cfg   auth.OAuthConfig
		heals bool
		code  string
	}{
		"unknown client":  {"nobody", k, auth.OAuthConfig{}, true, "invalid_client"},
		"another key":     {"ES384", generate(t, auth.ES384, "k"), auth.OAuthConfig{}, true, "invalid_client"},
		"wrong audience":  {"ES384", k, auth.OAuthConfig{Audience: "https://elsewhere.example"}, true, "invalid_client"},
		"wrong algorithm": {"ES384", generate(t, auth.RS384, "k"), auth.OAuthConfig{}, true, "invalid_client"},
		"wrong scope":     {"ES384", k, auth.OAuthConfig{Scope: "everything"}, false, "invalid_scope"},
	} {
		_, err := client(t, c.id, c.key, s.tokenURL(), c.cfg).Mint(t.Context())
		e, ok := errors.AsType[*auth.TokenError](err)
		if !ok || e.Code != c.code || e.Heals() != c.heals || e.Temporary() || e.Mend() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
