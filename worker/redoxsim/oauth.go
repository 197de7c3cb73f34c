package redoxsim

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"
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
	a, r := parseAssertion(form.Get("client_assertion"))
	if r == nil {
		r = s.judge(x, a, form)
	}
	if r != nil {
		return s.refuseToken(r)
	}
	ttl := s.tokenTTL()
	value, made := s.tokens.issue(a.iss, s.dir.kindOf(a.iss), s.now(), ttl)
	x.granted(made)
	return jsonAnswer(http.StatusOK, tokenAnswer{value, "Bearer", int64(ttl / time.Second), form.Get("scope")})
}

func (s *Server) refuseToken(r *refusal) answer {
	status := s.TokenErrorStatus
	if status == 0 {
		status = http.StatusBadRequest
	}
	a := jsonAnswer(status, tokenError{"invalid_request", r.description, errorURI})
	a.reason = r.reason
	if a.reason == "" {
		a.reason = r.description
	}
	return a
}

// readForm checks everything about the request but the assertion itself, in the order of Redox's error table.
func (s *Server) readForm(x *exchange) (url.Values, *refusal) {
	media, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, &refusal{"x-www-form-urlencoded content-type required", ""}
	}
	form, err := url.ParseQuery(string(x.body))
	if err != nil {
		return nil, blank("the form cannot be parsed")
	}
	for _, values := range form {
		if len(values) > 1 { // RFC 6749, 3.2
			return nil, blank("a form parameter appears twice")
		}
	}
	switch {
	case form.Get("grant_type") == "":
		return nil, &refusal{"Missing grant_type parameter", ""}
	case form.Get("grant_type") != "client_credentials":
		return nil, &refusal{"The grant_type parameter should equal 'client_credentials'", ""}
	case form.Get("client_assertion_type") == "":
		return nil, &refusal{"Missing client assertion type", ""}
	case form.Get("client_assertion_type") != assertionType:
		return nil, &refusal{"Invalid client assertion type", ""}
	case form.Get("client_assertion") == "":
		return nil, &refusal{"Missing client assertion", ""}
	}
	return form, nil
}

// judge decides about a parsed assertion: algorithm, key, signature, claims, and last that its jti is new, so that a
// refused assertion does not use it up.
func (s *Server) judge(x *exchange, a *assertion, form url.Values) *refusal {
	if a.alg != "RS384" && a.alg != "ES384" {
		return blank("alg is neither RS384 nor ES384")
	}
	pub, r := s.findKey(x.r.Context(), a)
	if r != nil {
		return r
	}
	if r := a.verify(pub); r != nil {
		return r
	}
	now := s.now()
	if r := a.check(now, s.audiences(x.r), s.Lenient); r != nil {
		return r
	}
	if id := form.Get("client_id"); id != "" && id != a.sub {
		return blank("client_id is not the sub of the assertion")
	}
	if a.jti != "" && !s.tokens.useOnce(a.iss, a.jti, now) {
		return blank("jti was used before")
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
func (s *Server) findKey(ctx context.Context, a *assertion) (crypto.PublicKey, *refusal) {
	s.dir.mu.RLock()
	c := s.dir.clients[a.iss]
	var pub crypto.PublicKey
	var jwksURL string
	if c != nil {
		pub, jwksURL = c.keys[a.kid], c.jwksURL
	}
	s.dir.mu.RUnlock()
	switch {
	case c == nil:
		return nil, keyNotFound("iss names no client")
	case a.jku != "" && a.jku != jwksURL: // Redox, Source Auth v2: equal to the URL in the dashboard
		return nil, blank("jku is not the registered URL")
	case jwksURL != "":
		keys, err := s.fetchKeys(ctx, jwksURL)
		if err != nil {
			return nil, keyNotFound(err.Error())
		}
		pub = keys[a.kid]
	}
	if pub == nil {
		return nil, keyNotFound("the client has no key of that kid")
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
	return parseJWKS(text)
}

// jsonAnswer is an answer with a JSON body.
func jsonAnswer(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil { // only for values that cannot be JSON; ours can
		return textAnswer(http.StatusInternalServerError, "Internal Server Error")
	}
	return answer{status: status, contentType: "application/json; charset=utf-8", body: body}
}
