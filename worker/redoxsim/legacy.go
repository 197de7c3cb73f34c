package redoxsim

import (
	"crypto/subtle"
	"mime"
	"net/http"
)

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
	list, valid, _ := document(x.body)
	if err != nil || media != "application/json" || !valid {
		return "", "", false
	}
	m := jwtMembers(list)
	apiKey, okKey := m.text("apiKey")
	value, okValue := m.text(second)
	return apiKey, value, okKey && okValue && apiKey != "" && value != ""
}

// unauthorized is Redox's 401, as recorded: 15 bytes that are not JSON, sent as text/html.
func unauthorized(reason string) answer {
	a := textAnswer(http.StatusUnauthorized, "Invalid request")
	a.reason = reason
	return a
}

// textAnswer is an answer in plain text, which Redox sends as text/html.
func textAnswer(status int, text string) answer {
	return answer{status: status, contentType: "text/html; charset=utf-8", body: []byte(text)}
}
