package auth

import (
	"cmp"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// standIn is an authorization server that is strict where Redox and SMART are.
type standIn struct {
	t        testing.TB
	clientID string
	audience string
	ttl      time.Duration
	methods  []string

	mu     sync.Mutex
	keys   map[string]crypto.PublicKey
	seen   map[string]bool      // jti
	tokens map[string]time.Time // token -> end
	asked  int                  // requests
	made   int                  // tokens
	forms  []map[string][]string
	fault  func(w http.ResponseWriter, r *http.Request) bool // true: answered
}

func newStandIn(t testing.TB, keys ...Key) *standIn {
	s := &standIn{
		t: t, clientID: "client-1", audience: testURL, ttl: 5 * time.Minute, methods: []string{"RS384", "ES384"},
		keys: map[string]crypto.PublicKey{}, seen: map[string]bool{}, tokens: map[string]time.Time{},
	}
	for _, k := range keys {
		s.keys[k.ID()] = k.Public()
	}
	return s
}

// set changes the stand-in under its lock.
func (s *standIn) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *standIn) counts() (asked, made int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.made
}

// valid reports whether a token is live at the server.
func (s *standIn) valid(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	end, ok := s.tokens[token]
	return ok && time.Now().Before(end)
}

// revoke ends every token.
func (s *standIn) revoke() {
	s.set(func() { clear(s.tokens) })
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked++
	fault := s.fault
	s.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(r); err != nil {
		s.refuse(w, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	s.made++
	token := fmt.Sprintf("token-%d", s.made)
	s.tokens[token] = time.Now().Add(s.ttl)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "bearer", "expires_in": s.ttl.Seconds()})
}

func (s *standIn) refuse(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": description, "error_uri": "https://docs.redoxengine.com/permalink/abc"})
}

var errBlank = errors.New("")

// check does what the documents say a server does, with Redox's own texts.
func (s *standIn) check(r *http.Request) error {
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return errors.New("x-www-form-urlencoded content-type required")
	}
	if err := r.ParseForm(); err != nil || r.URL.RawQuery != "" {
		return errors.New("Missing grant_type parameter")
	}
	s.forms = append(s.forms, r.PostForm)
	if r.PostForm.Get("grant_type") != "client_credentials" {
		return errors.New("The grant_type parameter should equal 'client_credentials'")
	}
	if r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return errors.New("Invalid client assertion type")
	}
	return s.checkAssertion(r.PostForm.Get("client_assertion"))
}

func (s *standIn) checkAssertion(signed string) error {
	var claims struct {
		jwt.RegisteredClaims
	}
	t, err := jwt.NewParser(jwt.WithValidMethods(s.methods), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithIssuer(s.clientID), jwt.WithSubject(s.clientID), jwt.WithAudience(s.audience), jwt.WithLeeway(10*time.Second)).
		ParseWithClaims(signed, &claims, func(t *jwt.Token) (any, error) {
			kid, _ := t.Header["kid"].(string)
			if k, ok := s.keys[kid]; ok && t.Header["typ"] == "JWT" {
				return k, nil
			}
			return nil, errUnknownKey
		})
	now := time.Now()
	switch {
	case errors.Is(err, errUnknownKey):
		return errUnknownKey
	case err != nil:
		return errBlank
	case claims.IssuedAt == nil || now.Sub(claims.IssuedAt.Time) > 5*time.Minute:
		return errBlank
	case claims.ExpiresAt.Sub(claims.IssuedAt.Time) > 5*time.Minute || claims.ID == "" || s.seen[claims.ID]:
		return errBlank
	case t.Header["alg"] == nil:
		return errBlank
	}
	s.seen[claims.ID] = true
	return nil
}

var errUnknownKey = errors.New("Public key not found, check client_id, kid and Redox dashboard settings")

// status returns a fault that answers with a bare status.
func status(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(code)
		return true
	}
}

// newTestOAuth returns an OAuth that asks h.
func newTestOAuth(t testing.TB, h http.Handler, k Key, cfg OAuthConfig) *OAuth {
	t.Helper()
	cfg.TokenURL = cmp.Or(cfg.TokenURL, testURL)
	cfg.Transport = serve(t, h)
	return must(NewOAuth("client-1", k, cfg))
}
