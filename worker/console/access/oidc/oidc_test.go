package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// fake is a provider that says what a test has it say.
type fake struct {
	*httptest.Server
	key      *ecdsa.PrivateKey
	claims   jwt.MapClaims              // of the ID token, over those of a good one
	sign     func(jwt.MapClaims) string // instead of a signature with the key
	userinfo map[string]any
	keys     func(w http.ResponseWriter) // instead of the public key
	token    func(w http.ResponseWriter) // instead of a good answer
	form     url.Values                  // what the token endpoint was asked
	asked    atomic.Int32                // how often for the discovery document
	broken   atomic.Bool
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{key: newKey(t)}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		if f.asked.Add(1); f.broken.Load() {
			http.Error(w, "hush", http.StatusBadGateway)
			return
		}
		answer(w, map[string]any{"issuer": f.URL, "authorization_endpoint": f.URL + "/auth", "token_endpoint": f.URL + "/token", "jwks_uri": f.URL + "/jwks",
			"userinfo_endpoint": f.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"ES256", "none"}, "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}})
	})
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) {
		if f.keys != nil {
			f.keys(w)
			return
		}
		public, err := jwkset.NewJWKFromKey(f.key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "1", USE: jwkset.UseSig}})
		if err != nil {
			t.Error(err)
			return
		}
		answer(w, map[string]any{"keys": []any{public.Marshal()}})
	})
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, _ *http.Request) { answer(w, f.userinfo) })
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		f.form = r.PostForm
		if f.token != nil {
			f.token(w)
			return
		}
		answer(w, map[string]any{"access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": f.idToken(t)})
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

// idToken is a good one but for the claims and the signature of the test.
func (f *fake) idToken(t *testing.T) string {
	claims := jwt.MapClaims{"iss": f.URL, "aud": "console", "sub": "1", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(), "nonce": "n", "email": "ann@hospital.example", "groups": []string{"ops", "staff"}}
	maps.Copy(claims, f.claims)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	if f.sign != nil {
		return f.sign(claims)
	}
	return signed(t, f.key, claims)
}

func signed(t *testing.T, key *ecdsa.PrivateKey, claims jwt.MapClaims) string {
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = "1"
	text, err := token.SignedString(key)
	if err != nil {
		t.Error(err)
	}
	return text
}

func newProvider(t *testing.T, f *fake, cfg Config) *Provider {
	t.Helper()
	cfg.Issuer, cfg.ClientID = f.URL, "console"
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const callback = "https://ops.example/redox/sign-in/callback"

func TestProvider_CodeAndPKCE(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newProvider(t, f, Config{ClientSecret: secret.New("hush")})
	to, err := p.Begin(t.Context(), callback, "s", "n", "v")
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(to)
	q := u.Query()
	if q.Get("response_type") != "code" || q.Get("state") != "s" || q.Get("nonce") != "n" || q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("redirect_uri") != callback || strings.Contains(to, "hush") {
		t.Errorf("sent to %s", to)
	}
	who, err := p.Finish(t.Context(), callback, url.Values{"code": {"c"}, "iss": {f.URL}}, "n", "v")
	if err != nil || who.Name != "ann@hospital.example" || len(who.Groups) != 2 {
		t.Errorf("%+v, %v", who, err)
	}
	if f.form.Get("code_verifier") != "v" || f.form.Get("code") != "c" || f.form.Get("client_secret") != "" {
		t.Errorf("asked with %v", f.form)
	}
}

// What is wrong with an answer, an ID token or its claims signs nobody in.
func TestProvider_Refuses(t *testing.T) {
	t.Parallel()
	other := newKey(t)
	none := func(c jwt.MapClaims) string {
		text, _ := json.Marshal(c)
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(text) + "."
	}
	for name, c := range map[string]struct {
		claims   jwt.MapClaims
		sign     func(jwt.MapClaims) string
		userinfo map[string]any
		keys     func(http.ResponseWriter)
		token    func(http.ResponseWriter)
		answer   url.Values
		says     string
	}{
		"wrong nonce":      {claims: jwt.MapClaims{"nonce": "other"}, says: "another sign-in"},
		"no nonce":         {claims: jwt.MapClaims{"nonce": nil}, says: "another sign-in"},
		"another audience": {claims: jwt.MapClaims{"aud": "shop"}, says: "audience"},
		"two audiences":    {claims: jwt.MapClaims{"aud": []string{"console", "shop"}}, says: "another client"},
		"another party":    {claims: jwt.MapClaims{"azp": "shop"}, says: "another client"},
		"another issuer":   {claims: jwt.MapClaims{"iss": "https://evil.example"}, says: "different provider"},
		"over":             {claims: jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}, says: "expired"},
		"not yet":          {claims: jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()}, says: "nbf"},
		"another's hash":   {claims: jwt.MapClaims{"at_hash": "AAAA"}, says: "access token"},
		"algorithm none":   {sign: none, says: "ID token"},
		"algorithm HS256": {sign: func(c jwt.MapClaims) string {
			s, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte("hush"))
			return s
		}, says: "ID token"},
		"another key":        {sign: func(c jwt.MapClaims) string { return signed(t, other, c) }, says: "ID token"},
		"no token":           {sign: func(jwt.MapClaims) string { return "" }, says: "ID token"},
		"no name":            {claims: jwt.MapClaims{"email": nil}, userinfo: map[string]any{"sub": "1"}, says: "console.oidc.name_claim"},
		"of another user":    {claims: jwt.MapClaims{"email": nil}, userinfo: map[string]any{"sub": "2", "email": "root"}, says: "another user"},
		"not verified":       {claims: jwt.MapClaims{"email_verified": false}, says: "not verified"},
		"groups are numbers": {claims: jwt.MapClaims{"groups": []any{1}}, says: "groups"},
		"groups elsewhere":   {claims: jwt.MapClaims{"groups": nil, "_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://graph.example"}}}, userinfo: map[string]any{"sub": "1"}, says: "more groups"},
		"refused":            {answer: url.Values{"error": {"access_denied"}}, says: "access_denied"},
		"refused with more":  {answer: url.Values{"error": {"<script>"}}, says: "unknown"},
		"another provider":   {answer: url.Values{"iss": {"https://evil.example"}, "code": {"c"}}, says: "another provider"},
		"code was used": {token: func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"hush"}`))
		}, says: "400, invalid_grant"},
		"no keys":       {keys: func(w http.ResponseWriter) { http.Error(w, "hush", http.StatusBadGateway) }, says: "get keys failed: 502"},
		"keys are none": {keys: func(w http.ResponseWriter) { _, _ = w.Write([]byte("<hush>")) }, says: "failed to decode keys"},
		"endless answer": {token: func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`{"access_token":"` + strings.Repeat("hush", 1<<19)))
		}, says: "no token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.claims, f.sign, f.userinfo, f.keys, f.token = c.claims, c.sign, c.userinfo, c.keys, c.token
			if c.answer == nil {
				c.answer = url.Values{"code": {"c"}}
			}
			who, err := newProvider(t, f, Config{ClientSecret: secret.New("hush")}).Finish(t.Context(), callback, c.answer, "n", "v")
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "eyJ") {
				t.Errorf("%+v, %v", who, err)
			}
		})
	}
}

func TestProvider_AsksForWhatTheTokenDoesNotSay(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.claims, f.userinfo = jwt.MapClaims{"groups": nil}, map[string]any{"sub": "1", "groups": "ops", "email": "another"}
	who, err := newProvider(t, f, Config{}).Finish(t.Context(), callback, url.Values{"code": {"c"}}, "n", "v")
	if err != nil || who.Name != "ann@hospital.example" || len(who.Groups) != 1 || who.Groups[0] != "ops" {
		t.Errorf("%+v, %v", who, err)
	}
}

// A provider that is down is not asked for each who comes, and is found when it is back.
func TestProvider_IsFoundWhenItIsBack(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.broken.Store(true)
	p := newProvider(t, f, Config{})
	for range 3 {
		if _, err := p.Begin(t.Context(), callback, "s", "n", "v"); err == nil || !strings.Contains(err.Error(), "discovery document") || strings.Contains(err.Error(), "hush") {
			t.Fatal(err)
		}
	}
	if n := f.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	f.broken.Store(false)
	p.asked = time.Now().Add(-failedFor)
	if _, err := p.Begin(t.Context(), callback, "s", "n", "v"); err != nil {
		t.Error(err)
	}
	f.broken.Store(true)
	p.asked = time.Now().Add(-freshFor)
	if _, err := p.Begin(t.Context(), callback, "s", "n", "v"); err != nil {
		t.Errorf("the answer of before serves: %v", err)
	}
}

// A browser that goes away keeps nobody else from signing in.
func TestProvider_WhoGoesAwayEndsNothing(t *testing.T) {
	t.Parallel()
	p := newProvider(t, newFake(t), Config{})
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, _ = p.Begin(gone, callback, "s", "n", "v")
	if _, err := p.Begin(t.Context(), callback, "s", "n", "v"); err != nil {
		t.Error(err)
	}
}

// stuck is a provider that never gives its keys.
type stuck struct{ *fake }

func (s stuck) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/jwks" {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	}
	w := httptest.NewRecorder()
	s.Config.Handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// Keys that do not come are asked for again: what hangs once would keep out all who come later.
func TestProvider_KeysThatHang(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, f, Config{Transport: stuck{f}})
		begun := time.Now()
		if _, err := p.Finish(t.Context(), callback, url.Values{"code": {"c"}}, "n", "v"); err == nil || !strings.Contains(err.Error(), "ID token") || time.Since(begun) != askTimeout {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Issuer: "ftp://x", Scopes: []string{"email"}})
	for _, says := range []string{"Issuer", "ClientID", "openid"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s is not told: %v", says, err)
		}
	}
}
