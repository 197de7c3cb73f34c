package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/MicahParks/jwkset"
	"github.com/google/go-cmp/cmp"
)

// fixedNow is an instant for tests that need only some.
var fixedNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func members(t testing.TB, data []byte) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestGenerateKey_WritesWhatItReads(t *testing.T) {
	t.Parallel()
	for _, alg := range []Algorithm{RS384, PS512, ES256, ES384, ES512} { // numbers for RSA take long to find
		for _, id := range []string{"", "my-kid"}[map[Algorithm]int{PS512: 1}[alg]:] {
			k, err := GenerateKey(alg, id)
			if err != nil {
				t.Fatal(err)
			}
			if id == "" && k.ID() != k.Thumbprint() || id != "" && k.ID() != id {
				t.Errorf("%s: kid is %q", alg, k.ID())
			}
			fromPEM := must(must(ParsePrivateKey(must(k.MarshalPEM()), k.ID())).With(alg))
			fromJWK := must(ParsePrivateKey(must(k.MarshalJWK()), ""))
			for _, again := range []Key{fromPEM, fromJWK} {
				if !sameKey(again, k) || again.Algorithm() != alg {
					t.Errorf("%s came back as %s", k, again)
				}
			}
		}
	}
}

func TestGenerateKey_RefusesOtherAlgorithms(t *testing.T) {
	t.Parallel()
	for _, alg := range []Algorithm{"", "HS384", "none", "ES256K", "EdDSA", "rs384"} {
		if _, err := GenerateKey(alg, ""); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "use RS256, RS384") {
			t.Errorf("%q: %v", alg, err)
		}
	}
	if _, err := GenerateKey(ES384, "a\x00"); !errors.Is(err, ErrKey) {
		t.Errorf("a kid with a control character: %v", err)
	}
}

func TestKey_PublicJWKHasNothingPrivate(t *testing.T) {
	t.Parallel()
	for k, want := range map[Key][]string{
		rsaKey("r"): {"alg", "e", "kid", "kty", "n", "use"},
		ecKey("e"):  {"alg", "crv", "kid", "kty", "use", "x", "y"},
	} {
		m := members(t, must(k.PublicJWK()))
		if len(m) != len(want) {
			t.Errorf("%s has members %v", k, m)
		}
		for _, name := range want {
			if m[name] == "" || m[name] == nil {
				t.Errorf("%s lacks %s", k, name)
			}
		}
		if m["use"] != "sig" || m["alg"] != string(k.Algorithm()) || m["kid"] != k.ID() {
			t.Errorf("%s: use, alg or kid of %v", k, m)
		}
	}
}

func TestKey_ThumbprintOfTheRFC(t *testing.T) {
	t.Parallel()
	// The example of RFC 7638, section 3.1.
	const n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	got := thumbprint(jwkset.JWKMarshal{KTY: jwkset.KtyRSA, N: n, E: "AQAB", ALG: "RS256", KID: "2011-04-29"})
	if got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("got %s", got)
	}
}

func TestJWKS_LeavesOutZeroAndTwice(t *testing.T) {
	t.Parallel()
	set, err := JWKS(rsaKey("a"), Key{}, ecKey("b"), rsaKey2("a"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Keys []struct{ Kid, Kty, D, P string }
	}
	if err := json.Unmarshal(set, &got); err != nil {
		t.Fatal(err)
	}
	want := []struct{ Kid, Kty, D, P string }{{"a", "RSA", "", ""}, {"b", "EC", "", ""}}
	if d := cmp.Diff(want, got.Keys); d != "" {
		t.Error(d)
	}
	if empty := must(JWKS()); !strings.Contains(string(empty), `"keys": []`) {
		t.Errorf("an empty set is %s", empty)
	}
}

func TestKey_ZeroIsHarmless(t *testing.T) {
	t.Parallel()
	var k Key
	_, pemErr := k.MarshalPEM()
	_, jwkErr := k.MarshalJWK()
	_, pubErr := k.PublicJWK()
	for _, err := range []error{pemErr, jwkErr, pubErr} {
		if !errors.Is(err, ErrKey) {
			t.Errorf("got %v", err)
		}
	}
	if k.ID() != "" || k.Algorithm() != "" || k.Public() != nil || k.Thumbprint() != "" || fmt.Sprint(k) != "no key" {
		t.Error("a zero key says something")
	}
}

func TestKey_SaysAlgorithmAndKidOnly(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if got := fmt.Sprintf(verb, ecKey("k1")); got != `ES384 key "k1"` {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

func TestSetKeys_OldKeyIsDropped(t *testing.T) {
	t.Parallel()
	o, old := func() (*OAuth, weak.Pointer[key]) {
		first := must(GenerateKey(ES384, "first"))
		o := must(NewOAuth("client", first, OAuthConfig{Next: must(GenerateKey(ES384, "second"))}))
		return o, weak.Make(first.k)
	}()
	if err := o.SetKeys(ecKey("third"), Key{}); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		runtime.GC()
		if old.Value() == nil {
			return
		}
	}
	t.Error("the replaced key is still in memory")
	runtime.KeepAlive(o)
}
