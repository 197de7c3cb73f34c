package redoxsim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/assertion"
)

func ecdsaKey(curve elliptic.Curve) (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(curve, rand.Reader)
}

// publicJWKS has an independent library write the set.
func publicJWKS(t *testing.T, private bool, keys map[string]any) []byte {
	t.Helper()
	var set jwkset.JWKSMarshal
	for kid, key := range keys {
		opts := jwkset.JWKOptions{
			Marshal:  jwkset.JWKMarshalOptions{Private: private},
			Metadata: jwkset.JWKMetadataOptions{KID: kid},
		}
		k, err := jwkset.NewJWKFromKey(key, opts)
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, k.Marshal())
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAddJWKS_ReadsWhatAnotherLibraryWrites(t *testing.T) {
	t.Parallel()
	got, err := assertion.ParseSet(publicJWKS(t, false, map[string]any{"r": rsaKey().Public(), "e": ecKey().Public()}))
	if err != nil {
		t.Fatal(err)
	}
	for kid, want := range map[string]crypto.PublicKey{"r": rsaKey().Public(), "e": ecKey().Public()} {
		if eq, ok := want.(interface{ Equal(crypto.PublicKey) bool }); !ok || !eq.Equal(got[kid]) {
			t.Errorf("key %s differs", kid)
		}
	}
}

func TestAddJWKS_Refusals(t *testing.T) {
	t.Parallel()
	p256, err := ecdsaKey(elliptic.P256())
	if err != nil {
		t.Fatal(err)
	}
	pub := string(publicJWKS(t, false, map[string]any{"r": rsaKey().Public()}))
	ec := string(publicJWKS(t, false, map[string]any{"e": ecKey().Public()}))
	one := strings.TrimSuffix(strings.TrimPrefix(pub, `{"keys":[`), `]}`)
	for _, c := range []struct{ name, set, part string }{
		{"not JSON", "nonsense", "not JSON"},
		{"one key, not a set", one, "no member keys"},
		{"empty", `{"keys":[]}`, "empty"},
		{"private", string(publicJWKS(t, true, map[string]any{"r": rsaKey()})), "private"},
		{"no kid", strings.Replace(pub, `"kid":"r"`, `"kid":""`, 1), "no kid"},
		{"kid twice", `{"keys":[` + one + "," + one + `]}`, "twice"},
		{"P-256", string(publicJWKS(t, false, map[string]any{"x": p256.Public()})), "P-384"},
		{"symmetric", `{"keys":[{"kty":"oct","kid":"k","k":"c2VjcmV0"}]}`, "kty"},
		{"for encryption", strings.Replace(pub, `"kid"`, `"use":"enc","kid"`, 1), "sig"},
		{"short RSA", `{"keys":[{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB"}]}`, "2048"},
		{"bad n", `{"keys":[{"kty":"RSA","kid":"k","n":"*","e":"AQAB"}]}`, "n: "},
		{"bad e", strings.Replace(pub, `"e":"AQAB"`, `"e":""`, 1), "exponent"},
		{"off the curve", strings.Replace(ec, `"x":"`, `"x":"AAAA`, 1), "48 bytes"},
	} {
		err := new(Server).AddJWKS("c", []byte(c.set))
		if err == nil || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s: %v, want %q", c.name, err, c.part)
		}
	}
}

func TestAddJWKSURL_KeysFollowTheURL(t *testing.T) {
	t.Parallel()
	var set atomic.Value
	set.Store(`{"keys":[]}`)
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if set.Load() == "500" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte(set.Load().(string)))
	}))
	t.Cleanup(source.Close)
	s, clk := fixed(t) // has the same key by value, which must be ignored
	s.AddJWKSURL(testClient, source.URL)
	full := string(publicJWKS(t, false, map[string]any{testKid: rsaKey().Public()}))
	get := func(header map[string]any) int {
		claims := goodClaims(testClient, tokenURL, clk.now())
		return ask(s, assertionForm(sign(t, jwt.SigningMethodRS384, rsaKey(), header, claims)).Encode()).Code
	}
	for _, step := range []struct {
		set    string
		header map[string]any
		want   int
	}{
		{`{"keys":[]}`, nil, 400},
		{full, nil, 200},
		{full, map[string]any{"jku": source.URL}, 200},
		{full, map[string]any{"jku": source.URL + "/other"}, 400},
		{full, map[string]any{"kid": "other"}, 400},
		{"500", nil, 400},
		{full, nil, 200},
	} {
		set.Store(step.set)
		if got := get(step.header); got != step.want {
			t.Errorf("set %.20s, header %v: %d, want %d", step.set, step.header, got, step.want)
		}
	}
	s.AddJWKSURL(testClient, "://")
	if got := get(nil); got != 400 {
		t.Errorf("malformed URL: %d", got)
	}
}
