package auth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
)

// part decodes one segment of a JWT as JSON.
func part(t testing.TB, signed string, i int) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(signed, ".")[i])
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAssertion_HeaderAndClaims(t *testing.T) {
	t.Parallel()
	a := assertion{clientID: "client-1", audience: "https://api.redoxengine.com/v2/auth/token", lifetime: 4 * time.Minute}
	for _, k := range []Key{rsaKey("kid-1"), ecKey("kid-1")} {
		signed, err := a.sign(t.Context(), k, fixedNow)
		if err != nil {
			t.Fatal(err)
		}
		wantHeader := map[string]any{"alg": string(k.Algorithm()), "kid": "kid-1", "typ": "JWT"}
		if d := cmp.Diff(wantHeader, part(t, signed.Reveal(), 0)); d != "" {
			t.Error(d)
		}
		claims := part(t, signed.Reveal(), 1)
		jti, _ := claims["jti"].(string)
		if len(jti) < 26 {
			t.Errorf("jti %q is short", jti)
		}
		delete(claims, "jti")
		want := map[string]any{
			"iss": "client-1", "sub": "client-1", "aud": "https://api.redoxengine.com/v2/auth/token",
			"iat": float64(fixedNow.Unix()), "exp": float64(fixedNow.Unix() + 240),
		}
		if d := cmp.Diff(want, claims); d != "" {
			t.Error(d)
		}
		_, err = jwt.NewParser(jwt.WithTimeFunc(func() time.Time { return fixedNow })).
			Parse(signed.Reveal(), func(*jwt.Token) (any, error) { return k.Public(), nil })
		if err != nil {
			t.Errorf("%s: the signature: %v", k, err)
		}
	}
}

func TestAssertion_NeverTheSameTwice(t *testing.T) {
	t.Parallel()
	a := assertion{clientID: "c", audience: "a", lifetime: defaultAssertionLifetime}
	seen := map[string]bool{}
	for range 200 {
		jti, _ := part(t, must(a.sign(t.Context(), ecKey("k"), fixedNow)).Reveal(), 1)["jti"].(string)
		if seen[jti] {
			t.Fatalf("jti %q came twice", jti)
		}
		seen[jti] = true
	}
}

func BenchmarkAssertion(b *testing.B) {
	a := assertion{clientID: "c", audience: "a", lifetime: defaultAssertionLifetime}
	for _, k := range []Key{rsaKey("k"), ecKey("k")} {
		b.Run(string(k.Algorithm()), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.sign(b.Context(), k, fixedNow); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
