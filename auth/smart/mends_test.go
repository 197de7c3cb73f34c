package smart

import (
	"testing"

	"github.com/redoxworker/redoxworker/auth"
)

// What the mends say helps.
func TestClient_Mended(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.document["token_endpoint"] = "https://login.example/token"
	s.document["token_endpoint_auth_signing_alg_values_supported"] = []string{"PS256"}
	c := client(t, s, rsa(), Config{TokenHosts: []string{"Login.Example"}, OAuth: auth.OAuthConfig{Algorithm: auth.PS256}})
	if _, err := c.Mint(t.Context()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"grant_types_supported", "token_endpoint_auth_methods_supported", "token_endpoint_auth_signing_alg_values_supported"} {
		s.document[name] = "what a server likes" // no list, no claim
	}
	if _, err := client(t, s, rsa(), Config{TokenHosts: []string{"login.example"}}).Mint(t.Context()); err != nil {
		t.Error(err)
	}
	s = newServer() // one of the pair is enough, and falls back by itself
	s.document["token_endpoint_auth_signing_alg_values_supported"] = []string{"ES384"}
	if _, err := client(t, s, rsa(), Config{OAuth: auth.OAuthConfig{Next: es384()}}).Mint(t.Context()); err != nil {
		t.Error(err)
	}
}
