package conformance

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/redoxworker/redoxworker/auth"
)

// exchange is one token request as the server received it.
type exchange struct {
	method, contentType, authorization, query string
	form                                      url.Values
	header, claims                            map[string]any
	signed                                    string
	received                                  time.Time
	tokenURL, clientID, kid, alg              string
	public                                    crypto.PublicKey
}

// rule is one requirement of SMART App Launch STU 2, "Client Authentication:
// Asymmetric" and "Backend Services", of RFC 7523 section 3, or of Redox.
type rule struct {
	name  string
	check func(exchange) error
}

var rules = []rule{
	{"POST to the token URL, without a query", func(x exchange) error {
		return equal(x.method+" "+x.query, "POST ")
	}},
	{"form-encoded", func(x exchange) error { return equal(x.contentType, "application/x-www-form-urlencoded") }},
	{"no other client authentication", func(x exchange) error {
		return equal(x.authorization+x.form.Get("client_secret"), "")
	}},
	{"each form field once, and no unknown one", func(x exchange) error {
		for name, values := range x.form {
			if len(values) != 1 || !slices.Contains([]string{"grant_type", "client_assertion_type", "client_assertion", "scope"}, name) {
				return fmt.Errorf("%s with %d values", name, len(values))
			}
		}
		return nil
	}},
	{"grant_type", func(x exchange) error { return equal(x.form.Get("grant_type"), "client_credentials") }},
	{"client_assertion_type", func(x exchange) error {
		return equal(x.form.Get("client_assertion_type"), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	}},
	{"scope as configured", func(x exchange) error { return equal(x.form.Get("scope"), "system/*.rs") }},
	{"compact JWS of three base64url parts", func(x exchange) error {
		if strings.Count(x.signed, ".") != 2 || strings.ContainsAny(x.signed, "=+/ \n") {
			return errors.New("not compact")
		}
		return nil
	}},
	{"header: alg is the registered one", func(x exchange) error { return equal(x.header["alg"], x.alg) }},
	{"header: kid of the registered key", func(x exchange) error { return equal(x.header["kid"], x.kid) }},
	{"header: typ is JWT", func(x exchange) error { return equal(x.header["typ"], "JWT") }},
	{"header: nothing else", func(x exchange) error { return equal(len(x.header), 3) }},
	{"signed by that key", func(x exchange) error {
		_, err := jwt.Parse(x.signed, func(*jwt.Token) (any, error) { return x.public, nil })
		return err
	}},
	{"iss is the client id", func(x exchange) error { return equal(x.claims["iss"], x.clientID) }},
	{"sub is the client id", func(x exchange) error { return equal(x.claims["sub"], x.clientID) }},
	{"aud is the token URL", func(x exchange) error { return equal(x.claims["aud"], x.tokenURL) }},
	{"exp is a whole number in the future, at most five minutes", func(x exchange) error {
		return within(x.claims["exp"], x.received, x.received.Add(5*time.Minute))
	}},
	{"exp is at most five minutes away for a server whose clock is a minute behind", func(x exchange) error {
		return within(x.claims["exp"], x.received, x.received.Add(4*time.Minute))
	}},
	{"iat is a whole number of the last seconds (Redox)", func(x exchange) error {
		return within(x.claims["iat"], x.received.Add(-10*time.Second), x.received.Add(time.Second))
	}},
	{"no nbf, which a slow clock would trip over", func(x exchange) error { return equal(x.claims["nbf"], nil) }},
	{"jti has 128 bits or more", func(x exchange) error {
		if jti, _ := x.claims["jti"].(string); len(jti) < 22 {
			return fmt.Errorf("%d characters", len(jti))
		}
		return nil
	}},
}

func equal(got, want any) error {
	if got != want {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

func within(claim any, from, to time.Time) error {
	n, ok := claim.(float64)
	if !ok || n != math.Trunc(n) || n < float64(from.Unix()) || n > float64(to.Unix()+1) {
		return fmt.Errorf("%v is not from %d to %d", claim, from.Unix(), to.Unix())
	}
	return nil
}

// decode reads one part of a JWT.
func decode(t testing.TB, part string) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// received reads a request on the server's side.
func received(t testing.TB, r *http.Request) exchange {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		t.Fatal(err)
	}
	x := exchange{
		method: r.Method, contentType: r.Header.Get("Content-Type"), authorization: r.Header.Get("Authorization"),
		query: r.URL.RawQuery, form: form, signed: form.Get("client_assertion"), received: time.Now(),
	}
	parts := strings.Split(x.signed, ".")
	x.header, x.claims = decode(t, parts[0]), decode(t, parts[1])
	return x
}

// exchanges mints n times with a new key and returns what arrived.
func exchanges(t *testing.T, a auth.Algorithm, n int) []exchange {
	t.Helper()
	return exchangesOf(t, generate(t, a, "kid-1"), a, n)
}

// exchangesOf is exchanges with that key.
func exchangesOf(t *testing.T, k auth.Key, a auth.Algorithm, n int) []exchange {
	t.Helper()
	var all []exchange
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all = append(all, received(t, r))
		_, _ = io.WriteString(w, `{"access_token":"abc","token_type":"bearer","expires_in":300}`)
	}))
	defer s.Close()
	o := client(t, "client-1", k, s.URL+"/token", auth.OAuthConfig{Scope: "system/*.rs", Algorithm: a})
	for range n {
		if _, err := o.Mint(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range all {
		all[i].tokenURL, all[i].clientID, all[i].kid, all[i].alg, all[i].public = s.URL+"/token", "client-1", k.ID(), string(a), k.Public()
	}
	return all
}

func TestSMART_EveryRule(t *testing.T) {
	t.Parallel()
	everyKey(t, func(t *testing.T, _ string, a auth.Algorithm, k auth.Key) {
		for _, x := range exchangesOf(t, k, a, 3) {
			for _, r := range rules {
				if err := r.check(x); err != nil {
					t.Errorf("%s: %v", r.name, err)
				}
			}
		}
	})
}

func TestSMART_EachRequestHasAnAssertionOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, a := range algorithms {
		jti, signed := map[any]bool{}, map[string]bool{}
		all := exchanges(t, a, 20)
		for _, x := range all {
			jti[x.claims["jti"]], signed[x.signed] = true, true
		}
		if len(jti) != len(all) || len(signed) != len(all) {
			t.Errorf("%s: %d requests had %d jti", a, len(all), len(jti))
		}
	}
}

// TestSMART_TheRulesCanFail breaks one thing after the other: each must trip a
// rule, so the table above proves something.
func TestSMART_TheRulesCanFail(t *testing.T) {
	t.Parallel()
	good := exchanges(t, auth.ES384, 1)[0]
	for name, spoil := range map[string]func(*exchange){
		"GET":            func(x *exchange) { x.method = "GET" },
		"query":          func(x *exchange) { x.query = "a=b" },
		"JSON":           func(x *exchange) { x.contentType = "application/json" },
		"Basic":          func(x *exchange) { x.authorization = "Basic abc" },
		"extra field":    func(x *exchange) { x.form.Set("client_id", "client-1") },
		"field twice":    func(x *exchange) { x.form.Add("grant_type", "client_credentials") },
		"padding":        func(x *exchange) { x.signed += "=" },
		"alg none":       func(x *exchange) { x.header["alg"] = "none" },
		"no kid":         func(x *exchange) { delete(x.header, "kid") },
		"typ":            func(x *exchange) { x.header["typ"] = "at+jwt" },
		"jku":            func(x *exchange) { x.header["jku"] = "https://elsewhere" },
		"another key":    func(x *exchange) { x.public = generate(t, auth.ES384, "").Public() },
		"iss":            func(x *exchange) { x.claims["iss"] = "x" },
		"sub":            func(x *exchange) { delete(x.claims, "sub") },
		"aud":            func(x *exchange) { x.claims["aud"] = "https://elsewhere.example" },
		"exp past":       func(x *exchange) { x.claims["exp"] = float64(x.received.Unix() - 1) },
		"exp far":        func(x *exchange) { x.claims["exp"] = float64(x.received.Unix() + 310) },
		"exp fractional": func(x *exchange) { x.claims["exp"] = float64(x.received.Unix()) + 60.5 },
		"iat missing":    func(x *exchange) { delete(x.claims, "iat") },
		"iat ahead":      func(x *exchange) { x.claims["iat"] = float64(x.received.Unix() + 20) },
		"nbf":            func(x *exchange) { x.claims["nbf"] = float64(x.received.Unix()) },
		"jti short":      func(x *exchange) { x.claims["jti"] = "1" },
	} {
		x := good
		x.form, x.header, x.claims = maps.Clone(good.form), maps.Clone(good.header), maps.Clone(good.claims)
		for k, v := range x.form {
			x.form[k] = slices.Clone(v)
		}
		spoil(&x)
		if !slices.ContainsFunc(rules, func(r rule) bool { return r.check(x) != nil }) {
			t.Errorf("%s: no rule noticed", name)
		}
	}
}

// TestSMART_PublicKeysAreComplete: RSA keys carry n and e, EC keys crv, x and y,
// all of them kty and kid, and nothing private.
func TestSMART_PublicKeysAreComplete(t *testing.T) {
	t.Parallel()
	for a, want := range map[auth.Algorithm][]string{
		auth.RS384: {"alg", "e", "kid", "kty", "n", "use"},
		auth.ES384: {"alg", "crv", "kid", "kty", "use", "x", "y"},
	} {
		var set struct{ Keys []map[string]string }
		if err := json.Unmarshal(publicSet(t, generate(t, a, "k"), generate(t, a, "k2")), &set); err != nil {
			t.Fatal(err)
		}
		for _, k := range set.Keys {
			if got := slices.Sorted(maps.Keys(k)); !slices.Equal(got, want) {
				t.Errorf("%s has %v, want %v", a, got, want)
			}
		}
		if len(set.Keys) != 2 {
			t.Errorf("%d keys", len(set.Keys))
		}
	}
}
