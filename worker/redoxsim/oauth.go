package redoxsim

import (
	"context"
	"crypto"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/assertion"
	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/jsonread"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	errorURI      = "https://docs.redoxengine.com/permalink/troubleshoot-oauth-api-key-errors"
)

// tokenAnswer is a granted token request.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	Scope       string `json:"scope"`
}

// tokenError is a refused one (Redox, Troubleshoot OAuth API key errors).
type tokenError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	URI         string `json:"error_uri"`
}

// serveToken grants a token for a client assertion.
func (s *Server) serveToken(x *exchange) answer {
	form, r := s.readForm(x)
	if r != nil {
		return s.refuseToken(r)
	}
	a, r := assertion.Parse(form.Get("client_assertion"))
	if r == nil {
		r = s.judge(x, a, form)
	}
	if r != nil {
		return s.refuseToken(r)
	}
	ttl := s.tokenTTL()
	value, made := s.tokens.issue(a.Iss, s.dir.kindOf(a.Iss), s.now(), ttl)
	x.granted(made)
	return jsonAnswer(http.StatusOK, tokenAnswer{value, "Bearer", int64(ttl / time.Second), form.Get("scope")})
}

func (s *Server) refuseToken(r *assertion.Refusal) answer {
	status := s.TokenErrorStatus
	if status == 0 {
		status = http.StatusBadRequest
	}
	a := jsonAnswer(status, tokenError{"invalid_request", r.Description, errorURI})
	a.reason = r.Reason
	if a.reason == "" {
		a.reason = r.Description
	}
	return a
}

// readForm checks everything about the request but the assertion itself, in the order of Redox's error table.
func (s *Server) readForm(x *exchange) (url.Values, *assertion.Refusal) {
	media, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, assertion.Say("x-www-form-urlencoded content-type required")
	}
	form, err := url.ParseQuery(string(x.body))
	if err != nil {
		return nil, assertion.Blank("the form cannot be parsed")
	}
	for _, values := range form {
		if len(values) > 1 { // RFC 6749, 3.2
			return nil, assertion.Blank("a form parameter appears twice")
		}
	}
	switch {
	case form.Get("grant_type") == "":
		return nil, assertion.Say("Missing grant_type parameter")
	case form.Get("grant_type") != "client_credentials":
		return nil, assertion.Say("The grant_type parameter should equal 'client_credentials'")
	case form.Get("client_assertion_type") == "":
		return nil, assertion.Say("Missing client assertion type")
	case form.Get("client_assertion_type") != assertionType:
		return nil, assertion.Say("Invalid client assertion type")
	case form.Get("client_assertion") == "":
		return nil, assertion.Say("Missing client assertion")
	}
	return form, nil
}

// judge decides about a parsed assertion: algorithm, key, signature, claims, and last that its jti is new, so that a
// refused assertion does not use it up.
func (s *Server) judge(x *exchange, a *assertion.Assertion, form url.Values) *assertion.Refusal {
	if a.Alg != "RS384" && a.Alg != "ES384" {
		return assertion.Blank("alg is neither RS384 nor ES384")
	}
	pub, r := s.findKey(x.r.Context(), a)
	if r != nil {
		return r
	}
	if r := a.Verify(pub); r != nil {
		return r
	}
	now := s.now()
	if r := a.Check(now, s.audiences(x.r), s.Lenient); r != nil {
		return r
	}
	if id := form.Get("client_id"); id != "" && id != a.Sub {
		return assertion.Blank("client_id is not the sub of the assertion")
	}
	if a.JTI != "" && !s.tokens.useOnce(a.Iss, a.JTI, now) {
		return assertion.Blank("jti was used before")
	}
	return nil
}

func (s *Server) audiences(r *http.Request) []string {
	if len(s.Audiences) > 0 {
		return s.Audiences
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return []string{scheme + r.Host + PathToken}
}

// findKey looks the client up by iss and its key by kid (Redox, Troubleshoot OAuth API key errors).
func (s *Server) findKey(ctx context.Context, a *assertion.Assertion) (crypto.PublicKey, *assertion.Refusal) {
	s.dir.mu.RLock()
	c := s.dir.clients[a.Iss]
	var pub crypto.PublicKey
	var jwksURL string
	if c != nil {
		pub, jwksURL = c.keys[a.Kid], c.jwksURL
	}
	s.dir.mu.RUnlock()
	switch {
	case c == nil:
		return nil, assertion.KeyNotFound("iss names no client")
	case a.JKU != "" && a.JKU != jwksURL: // Redox, Source Auth v2: equal to the URL in the dashboard
		return nil, assertion.Blank("jku is not the registered URL")
	case jwksURL != "":
		keys, err := s.fetchKeys(ctx, jwksURL)
		if err != nil {
			return nil, assertion.KeyNotFound(err.Error())
		}
		pub = keys[a.Kid]
	}
	if pub == nil {
		return nil, assertion.KeyNotFound("the client has no key of that kid")
	}
	return pub, nil
}

// fetchKeys gets a key set; it keeps nothing, so that a key is gone as soon as its set says so.
func (s *Server) fetchKeys(ctx context.Context, jwksURL string) (map[string]crypto.PublicKey, error) {
	client := s.HTTPClient
	if client == nil {
		client = &http.Client{Timeout: 5 * time.Second}
		defer client.CloseIdleConnections()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, jwksURL, nil)
	if err != nil {
		return nil, errors.New("redoxsim: the URL of the key set is malformed")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("redoxsim: key set: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("redoxsim: key set: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("redoxsim: key set: status %d", resp.StatusCode)
	}
	return assertion.ParseSet(text)
}

// legacyAnswer is the answer to both legacy calls (Redox, Authenticate a legacy API key).
type legacyAnswer struct {
	AccessToken  string `json:"accessToken"`
	Expires      string `json:"expires"`
	RefreshToken string `json:"refreshToken"`
}

// serveAuthenticate exchanges a legacy API key and its secret for a token.
func (s *Server) serveAuthenticate(x *exchange) answer {
	apiKey, secret, ok := legacyFields(x, "secret")
	if !ok {
		return unauthorized("the request is not JSON with apiKey and secret")
	}
	want, known := s.dir.secretOf(apiKey)
	if !known || subtle.ConstantTimeCompare([]byte(want), []byte(secret)) != 1 {
		return unauthorized("wrong API key or secret")
	}
	return s.grantLegacy(x, apiKey)
}

// serveRefresh exchanges a refresh token, which may outlive its access token, for a new pair. A refresh token works
// once (inferred: Redox documents a new pair and not what becomes of the old one).
func (s *Server) serveRefresh(x *exchange) answer {
	apiKey, refresh, ok := legacyFields(x, "refreshToken")
	if !ok {
		return unauthorized("the request is not JSON with apiKey and refreshToken")
	}
	if _, known := s.dir.secretOf(apiKey); !known || !s.tokens.spendRefresh(apiKey, refresh) {
		return unauthorized("wrong API key or refresh token")
	}
	return s.grantLegacy(x, apiKey)
}

func (s *Server) grantLegacy(x *exchange, apiKey string) answer {
	now := s.now()
	value, made := s.tokens.issue(apiKey, legacyKey, now, s.legacyTTL())
	x.granted(made)
	return jsonAnswer(http.StatusOK, legacyAnswer{
		AccessToken:  value,
		Expires:      made.expires.UTC().Format("2006-01-02T15:04:05.000Z"),
		RefreshToken: s.tokens.newRefresh(apiKey),
	})
}

func legacyFields(x *exchange, second string) (apiKey, value string, ok bool) {
	media, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	m, valid, _ := jsonread.Document(x.body)
	if err != nil || media != "application/json" || !valid {
		return "", "", false
	}
	apiKey, okKey := m.Text("apiKey")
	value, okValue := m.Text(second)
	return apiKey, value, okKey && okValue && apiKey != "" && value != ""
}
