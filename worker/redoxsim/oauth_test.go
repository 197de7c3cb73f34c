package redoxsim

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/assertion"
)

// assertionCase changes a good assertion; blank descriptions are Redox's way for most of them.
type assertionCase struct {
	name   string
	header map[string]any
	change func(c jwt.MapClaims, now int64)
	grant  bool
	says   string // error_description
	reason string // part of the record's reason
}

func claim(name string, value any) func(jwt.MapClaims, int64) {
	return func(c jwt.MapClaims, _ int64) {
		if value == nil {
			delete(c, name)
			return
		}
		c[name] = value
	}
}

func iat(offset int64) func(jwt.MapClaims, int64) {
	return func(c jwt.MapClaims, now int64) { c["iat"], c["exp"] = now+offset, now+offset+300 }
}

func exp(afterIat int64) func(jwt.MapClaims, int64) {
	return func(c jwt.MapClaims, now int64) { c["exp"] = now + afterIat }
}

const tokenURL = "http://sim.example/v2/auth/token"

func assertionCases() []assertionCase {
	return []assertionCase{
		{name: "good", grant: true},
		{name: "iat 299 s ago", change: iat(-299), grant: true},
		{name: "iat 300 s ago is the edge", change: func(c jwt.MapClaims, now int64) { c["iat"], c["exp"] = now-300, now }, reason: "exp is in the past"},
		{name: "iat 301 s ago", change: func(c jwt.MapClaims, now int64) { c["iat"], c["exp"] = now-301, now+1 }, reason: "300 s in the past"},
		{name: "iat 10 s ahead", change: iat(10), grant: true},
		{name: "iat 11 s ahead", change: iat(11), reason: "10 s in the future"},
		{name: "iat absent", change: claim("iat", nil), reason: "iat is absent"},
		{name: "iat a string", change: claim("iat", "1700000000"), reason: "iat is not a number"},
		{name: "iat in milliseconds", change: func(c jwt.MapClaims, now int64) { c["iat"] = now * 1000 }, reason: "in the future"},
		{name: "iat with fraction", change: func(c jwt.MapClaims, now int64) { c["iat"] = float64(now) - 0.5; c["exp"] = now + 299 }, grant: true},
		{name: "exp 300 s after iat", change: exp(300), grant: true},
		{name: "exp 301 s after iat", change: exp(301), reason: "300 s after iat"},
		{name: "exp an hour after iat", change: exp(3600), reason: "300 s after iat"},
		{name: "exp now", change: exp(0), reason: "exp is in the past"},
		{name: "exp absent", change: claim("exp", nil), reason: "exp is absent"},
		{name: "exp null", change: func(c jwt.MapClaims, _ int64) { c["exp"] = json.RawMessage("null") }, reason: "exp is not a number"},
		{name: "nbf ahead", change: func(c jwt.MapClaims, now int64) { c["nbf"] = now + 60 }, reason: "nbf"},
		{name: "jti absent", change: claim("jti", nil), reason: "jti is absent"},
		{name: "jti empty", change: claim("jti", ""), reason: "jti is absent"},
		{name: "jti a number", change: claim("jti", 7), reason: "jti is not a string"},
		{name: "aud absent", change: claim("aud", nil), reason: "aud is absent"},
		{name: "aud the issuer", change: claim("aud", "http://sim.example"), reason: "aud is not"},
		{name: "aud with a slash too many", change: claim("aud", tokenURL+"/"), reason: "aud is not"},
		{name: "aud a list with the URL", change: claim("aud", []string{"x", tokenURL}), grant: true},
		{name: "aud a list of numbers", change: claim("aud", []int{1}), reason: "aud is neither"},
		{name: "aud an object", change: claim("aud", map[string]string{"a": "b"}), reason: "aud is neither"},
		{name: "sub absent", change: claim("sub", nil), says: "Unexpected sub claim value"},
		{name: "sub another", change: claim("sub", "client-2"), says: "Unexpected sub claim value"},
		{name: "iss absent", change: claim("iss", nil), says: assertion.KeyNotFound("").Description},
		{name: "iss unknown", change: claim("iss", "client-2"), says: assertion.KeyNotFound("").Description},
		{name: "kid absent", header: map[string]any{"kid": nil}, says: "JWT header kid property is required"},
		{name: "kid empty", header: map[string]any{"kid": ""}, says: "JWT header kid property is required"},
		{name: "kid a number", header: map[string]any{"kid": 1}, says: "JWT header kid property is required"},
		{name: "kid unknown", header: map[string]any{"kid": "other"}, says: assertion.KeyNotFound("").Description},
		{name: "typ absent", header: map[string]any{"typ": nil}, reason: "typ is absent"},
		{name: "typ another", header: map[string]any{"typ": "at+jwt"}, reason: "typ is not JWT"},
		{name: "typ in lower case", header: map[string]any{"typ": "jwt"}, grant: true},
		{name: "crit", header: map[string]any{"crit": []string{"b64"}}, reason: "crit"},
		{name: "jku not registered", header: map[string]any{"jku": "https://evil.example/jwks"}, reason: "jku"},
	}
}

// fixed is a simulator with a fixed clock and audience, asked without a network.
func fixed(t *testing.T) (*Server, *clock) {
	t.Helper()
	c := newClock()
	s := &Server{Now: c.now, Audiences: []string{tokenURL}}
	if err := s.AddOAuthKey(testClient, testKid, rsaKey().Public()); err != nil {
		t.Fatal(err)
	}
	return s, c
}

func ask(s *Server, form string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, PathToken, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestToken_Assertion(t *testing.T) {
	t.Parallel()
	for _, c := range assertionCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, clk := fixed(t)
			claims := goodClaims(testClient, tokenURL, clk.now())
			if c.change != nil {
				c.change(claims, clk.now().Unix())
			}
			w := ask(s, assertionForm(sign(t, jwt.SigningMethodRS384, rsaKey(), c.header, claims)).Encode())
			a := s.Arrivals()[0]
			if c.grant {
				if w.Code != 200 || a.TokenID == "" || a.KeyOwner != testClient {
					t.Fatalf("refused: %d %s (%s)", w.Code, w.Body, a.Reason)
				}
				return
			}
			var e tokenError
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			want := tokenError{"invalid_request", c.says, errorURI}
			if diff := cmp.Diff(want, e); diff != "" || w.Code != 400 {
				t.Errorf("status %d, error (-want +got):\n%s", w.Code, diff)
			}
			if !strings.Contains(a.Reason, c.reason) || a.Reason == "" || a.TokenID != "" {
				t.Errorf("recorded reason %q, token %q; want a reason with %q", a.Reason, a.TokenID, c.reason)
			}
		})
	}
}

func TestToken_Grant(t *testing.T) {
	t.Parallel()
	s, clk := fixed(t)
	s.TokenTTL = 4500 * time.Millisecond
	form := assertionForm(sign(t, jwt.SigningMethodRS384, rsaKey(), nil, goodClaims(testClient, tokenURL, clk.now())))
	form.Set("scope", "fhir:development")
	form.Set("client_id", testClient)
	w := ask(s, form.Encode())
	var got tokenAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tokenAnswer{got.AccessToken, "Bearer", 4, "fhir:development"}, got); diff != "" {
		t.Error(diff)
	}
	if len(got.AccessToken) < 40 || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Redox-Trace-Id") == "" {
		t.Errorf("token of %d letters, headers %v", len(got.AccessToken), w.Header())
	}
	arrival, err := json.Marshal(s.Arrivals())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(arrival), got.AccessToken) || strings.Contains(string(arrival), form.Get("client_assertion")) {
		t.Error("the record shows a token or an assertion")
	}
}

func TestToken_RefusedAssertionDoesNotUseItsJTI(t *testing.T) {
	t.Parallel()
	s, clk := fixed(t)
	claims := goodClaims(testClient, tokenURL, clk.now())
	good := assertionForm(sign(t, jwt.SigningMethodRS384, rsaKey(), nil, claims)).Encode()
	s.Audiences = []string{"http://elsewhere.example"}
	if w := ask(s, good); w.Code != 400 {
		t.Fatalf("status %d", w.Code)
	}
	s.Audiences = []string{tokenURL}
	for i, want := range []int{200, 400} {
		if w := ask(s, good); w.Code != want {
			t.Errorf("use %d of the jti: %d, want %d", i+1, w.Code, want)
		}
	}
	if reason := s.Arrivals()[2].Reason; reason != "jti was used before" {
		t.Errorf("reason %q", reason)
	}
}

func TestToken_JTIBelongsToItsClient(t *testing.T) {
	t.Parallel()
	s, clk := fixed(t)
	if err := s.AddOAuthKey("client-2", testKid, rsaKey().Public()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{testClient, "client-2"} {
		claims := goodClaims(id, tokenURL, clk.now())
		claims["jti"] = "same"
		if w := ask(s, assertionForm(sign(t, jwt.SigningMethodRS384, rsaKey(), nil, claims)).Encode()); w.Code != 200 {
			t.Errorf("%s: %d %s", id, w.Code, w.Body)
		}
	}
}

func TestToken_Lenient(t *testing.T) {
	t.Parallel()
	s, clk := fixed(t)
	s.Lenient = true
	claims := jwt.MapClaims{"iss": testClient, "sub": testClient, "iat": clk.now().Unix()}
	w := ask(s, assertionForm(sign(t, jwt.SigningMethodRS384, rsaKey(), map[string]any{"typ": nil}, claims)).Encode())
	if w.Code != 200 {
		t.Errorf("without aud, exp, jti, typ: %d %s", w.Code, s.Arrivals()[0].Reason)
	}
	claims["exp"] = clk.now().Unix() + 301
	if w := ask(s, assertionForm(sign(t, jwt.SigningMethodRS384, rsaKey(), nil, claims)).Encode()); w.Code != 400 {
		t.Errorf("a present and wrong exp passed: %d", w.Code)
	}
}

func TestToken_Signature(t *testing.T) {
	t.Parallel()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s, clk := fixed(t)
	if err := s.AddOAuthKey(testClient, "ec", ecKey().Public()); err != nil {
		t.Fatal(err)
	}
	ecHeader := map[string]any{"kid": "ec"}
	fresh := func() jwt.MapClaims { return goodClaims(testClient, tokenURL, clk.now()) }
	good := sign(t, jwt.SigningMethodES384, ecKey(), ecHeader, fresh())
	parts := strings.Split(good, ".")
	der := base64.RawURLEncoding.EncodeToString([]byte("0d short"))
	for _, c := range []struct {
		name, assertion, says string
		status                int
	}{
		{"RS384 by another key", sign(t, jwt.SigningMethodRS384, other, nil, fresh()), "", 400},
		{"RS256", sign(t, jwt.SigningMethodRS256, rsaKey(), nil, fresh()), "", 400},
		{"PS384", sign(t, jwt.SigningMethodPS384, rsaKey(), nil, fresh()), "", 400},
		{"HS384 with the public key's bytes", sign(t, jwt.SigningMethodHS384, []byte("secret"), nil, fresh()), "", 400},
		{"none", sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, fresh()), "", 400},
		{"RS384 naming the EC key", sign(t, jwt.SigningMethodRS384, rsaKey(), ecHeader, fresh()), assertion.KeyNotFound("").Description, 400},
		{"ES384 naming the RSA key", sign(t, jwt.SigningMethodES384, ecKey(), nil, fresh()), assertion.KeyNotFound("").Description, 400},
		{"ES384 with a short signature", parts[0] + "." + parts[1] + "." + der, "", 400},
		{"ES384 with changed claims", parts[0] + "." + parts[1][:len(parts[1])-4] + "In0." + parts[2], "", 400},
		{"two parts", parts[0] + "." + parts[1], "", 400},
		{"padding", good + "=", "", 400},
		{"line break", good[:40] + "\n" + good[40:], "", 400},
		{"ES384 good", good, "", 200},
	} {
		w := ask(s, assertionForm(c.assertion).Encode())
		if w.Code != c.status || c.status != 200 && !strings.Contains(w.Body.String(), `"error_description":"`+c.says+`"`) {
			t.Errorf("%s: %d %s, reason %q", c.name, w.Code, w.Body, s.Arrivals()[len(s.Arrivals())-1].Reason)
		}
	}
}

func TestToken_Form(t *testing.T) {
	t.Parallel()
	s, clk := fixed(t)
	form := func() string {
		return assertionForm(sign(t, jwt.SigningMethodRS384, rsaKey(), nil, goodClaims(testClient, tokenURL, clk.now()))).Encode()
	}
	for _, c := range []struct {
		name, form, reason string
	}{
		{"twice the same parameter", form() + "&grant_type=client_credentials", "twice"},
		{"not a form", "grant_type=%zz", "cannot be parsed"},
		{"another client_id", form() + "&client_id=client-2", "client_id"},
		{"empty", "", "Missing grant_type parameter"},
	} {
		if w := ask(s, c.form); w.Code != 400 || !strings.Contains(s.Arrivals()[len(s.Arrivals())-1].Reason, c.reason) {
			t.Errorf("%s: %d, %q", c.name, w.Code, s.Arrivals()[len(s.Arrivals())-1].Reason)
		}
	}
	s.TokenErrorStatus = 401
	if w := ask(s, ""); w.Code != 401 {
		t.Errorf("TokenErrorStatus is not used: %d", w.Code)
	}
	if w := ask(s, form()); w.Code != 200 {
		t.Errorf("good form: %d", w.Code)
	}
}

func TestToken_DefaultAudienceIsTheURLAddressed(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	claims := g.claims()
	claims["aud"] = strings.Replace(g.url, "127.0.0.1", "localhost", 1) + PathToken
	if r := g.askToken(sign(t, jwt.SigningMethodRS384, rsaKey(), nil, claims)); r.status != 400 {
		t.Errorf("aud with another host: %d", r.status)
	}
	g.token()
}

func TestKeys_WithdrawnAndReplaced(t *testing.T) {
	t.Parallel()
	s, clk := fixed(t)
	get := func() int {
		return ask(s, assertionForm(sign(t, jwt.SigningMethodRS384, rsaKey(), nil, goodClaims(testClient, tokenURL, clk.now()))).Encode()).Code
	}
	steps := []struct {
		name string
		do   func()
		want int
	}{
		{"registered", func() {}, 200},
		{"kid withdrawn", func() { s.RemoveOAuthKey(testClient, testKid) }, 400},
		{"back", func() { _ = s.AddOAuthKey(testClient, testKid, rsaKey().Public()) }, 200},
		{"client withdrawn", func() { s.RemoveOAuthKey(testClient, "") }, 400},
		{"unknown client withdrawn", func() { s.RemoveOAuthKey("nobody", "x") }, 400},
	}
	for _, step := range steps {
		step.do()
		if got := get(); got != step.want {
			t.Errorf("%s: %d, want %d", step.name, got, step.want)
		}
	}
}

func TestAddOAuthKey_RefusesWeakKeys(t *testing.T) {
	t.Parallel()
	s := &Server{}
	weak := &rsa.PublicKey{N: rsaKey().N, E: 2}
	p256, err := ecdsaKey(elliptic.P256())
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"even exponent": s.AddOAuthKey("c", "k", weak),
		"P-256":         s.AddOAuthKey("c", "k", p256.Public()),
		"symmetric":     s.AddOAuthKey("c", "k", []byte("secret")),
		"nil":           s.AddOAuthKey("c", "k", nil),
		"private":       s.AddOAuthKey("c", "k", rsaKey()),
		"no kid":        s.AddOAuthKey("c", "", rsaKey().Public()),
		"no client":     s.AddOAuthKey("", "k", rsaKey().Public()),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "redoxsim: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
