package conformance

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/worker/workertest/nodejs"
)

const oidcDir = "testdata/oidc-provider"

// oidcClient is a client as oidc-provider takes it.
func oidcClient(t *testing.T, id string, a auth.Algorithm, keys ...auth.Key) map[string]any {
	t.Helper()
	return map[string]any{
		"client_id": id, "jwks": json.RawMessage(publicSet(t, keys...)), "scope": "fhir:development",
		"grant_types": []string{"client_credentials"}, "redirect_uris": []string{}, "response_types": []string{},
		"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": string(a),
	}
}

// startOIDC runs the server in a Node process of its own and returns its token
// URL.
func startOIDC(t *testing.T, clients ...map[string]any) string {
	t.Helper()
	set, err := json.Marshal(clients)
	if err != nil {
		t.Fatal(err)
	}
	return nodejs.Start(t, oidcDir, "server.mjs", "CLIENTS="+string(set))
}

func TestOIDCProvider_TakesBothAlgorithms(t *testing.T) {
	t.Parallel()
	for _, a := range algorithms {
		t.Run(string(a), func(t *testing.T) {
			t.Parallel()
			k := generate(t, a, "")
			tokenURL := startOIDC(t, oidcClient(t, "client-1", a, k))
			o := client(t, "client-1", k, tokenURL, auth.OAuthConfig{Scope: "fhir:development"})
			for range 3 {
				token, err := o.Mint(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if token.Lifetime() != 5*time.Minute || !strings.EqualFold(token.Type, "bearer") {
					t.Errorf("a %s token of %s", token.Type, token.Lifetime())
				}
			}
		})
	}
}

// Every algorithm, by a key in a file and by one that is elsewhere, as with fosite.
func TestOIDCProvider_JudgesEveryAlgorithmAndKindOfKey(t *testing.T) {
	t.Parallel()
	type registered struct {
		name string
		a    auth.Algorithm
		k    auth.Key
	}
	var all []registered
	var clients []map[string]any
	for _, a := range auth.Algorithms() {
		for _, kind := range kinds {
			one := registered{string(a) + ", key " + kind, a, keyOf(t, a, kind)}
			all = append(all, one)
			clients = append(clients, oidcClient(t, one.name, a, adapted(t, one.k, a)))
		}
	}
	tokenURL := startOIDC(t, clients...)
	var results table
	for _, one := range all {
		r := &recorder{}
		o := client(t, one.name, one.k, tokenURL, auth.OAuthConfig{Algorithm: one.a, Scope: "fhir:development", Transport: r})
		for range 3 {
			if _, err := o.Mint(t.Context()); err != nil {
				t.Fatalf("%s: %v", one.name, err)
			}
		}
		distinct(t, r.jtis(t), 3)
		if status, code := postForm(t, tokenURL, r.bodies[0]); status != http.StatusUnauthorized || code != "invalid_client" {
			t.Errorf("%s: the replay: %d %s", one.name, status, code)
		}
		if other, ok := another(one.a); ok {
			_, err := client(t, one.name, one.k, tokenURL, auth.OAuthConfig{Algorithm: other}).Mint(t.Context())
			if e, refused := errors.AsType[*auth.TokenError](err); !refused || e.Code != "invalid_client" {
				t.Errorf("%s was taken where %s is registered: %v", other, one.a, err)
			}
		}
		results.row(one.name, "oidc-provider takes it, refuses its replay")
	}
	results.print(t)
}

// TestOIDCProvider_RefusesAReplayAndTakesTheNextAssertion: this server says
// invalid_client, as RFC 7523 has it.
func TestOIDCProvider_RefusesAReplayAndTakesTheNextAssertion(t *testing.T) {
	t.Parallel()
	for _, a := range algorithms {
		t.Run(string(a), func(t *testing.T) {
			t.Parallel()
			k, r := generate(t, a, "k"), &recorder{}
			tokenURL := startOIDC(t, oidcClient(t, "client-1", a, k))
			o := client(t, "client-1", k, tokenURL, auth.OAuthConfig{Transport: r})
			if _, err := o.Mint(t.Context()); err != nil {
				t.Fatal(err)
			}
			if status, code := postForm(t, tokenURL, r.bodies[0]); status != http.StatusUnauthorized || code != "invalid_client" {
				t.Errorf("the replay by hand: %d %s", status, code)
			}
			r.replay = 1
			_, err := o.Mint(t.Context())
			if e, ok := errors.AsType[*auth.TokenError](err); !ok || e.Code != "invalid_client" || !e.Heals() {
				t.Errorf("after a replay: %v", err)
			}
			if _, err := o.Mint(t.Context()); err != nil {
				t.Errorf("the next one: %v", err)
			}
			distinct(t, r.jtis(t), 3)
		})
	}
}

func TestOIDCProvider_FallsBackToTheNextKey(t *testing.T) {
	t.Parallel()
	old, next := generate(t, auth.ES384, "old"), generate(t, auth.ES384, "next")
	tokenURL := startOIDC(t, oidcClient(t, "client-1", auth.ES384, next)) // old is withdrawn
	o := client(t, "client-1", old, tokenURL, auth.OAuthConfig{Next: next})
	if _, err := o.Mint(t.Context()); err != nil || o.KeyInUse().ID() != "next" {
		t.Errorf("%q in use, %v", o.KeyInUse().ID(), err)
	}
	checks := o.Check(t.Context())
	if len(checks) != 2 || checks[0].OK() || !checks[1].OK() || checks[0].Mend == "" {
		t.Errorf("the checks: %+v", checks)
	}
}
