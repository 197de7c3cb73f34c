package auth

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/answer"
)

// TokenError says why an authorization server gave no token. Its texts are
// bounded and cleaned: they never hold a secret, an assertion or a whole answer.
type TokenError struct {
	// Op is what was asked for: "token", "authenticate" or "refresh".
	Op string
	// Host is the endpoint's host.
	Host string
	// KeyID is the kid that signed, "" for legacy keys.
	KeyID string
	// Status is the HTTP status, 0 when there was no answer.
	Status int
	// Code is OAuth's error, "" when the answer had none.
	Code string
	// Description is OAuth's error_description, or the words of a plain or HTML
	// answer, at most 200 bytes. Redox leaves it blank for wrong claims.
	Description string
	// URI is OAuth's error_uri, "" unless it is a plain https address.
	URI string
	// Skew is how far the local clock was ahead of the server's when it
	// answered, 0 when unknown.
	Skew time.Duration
	// Err is what went wrong when there was no answer, or [ErrAnswer].
	Err error

	retryAfter time.Duration
}

// Error names the endpoint, its answer and the mend, in one line.
func (e *TokenError) Error() string {
	var b strings.Builder
	b.WriteString("auth: " + e.Op + " from " + e.Host)
	if e.KeyID != "" {
		b.WriteString(" with kid " + strconv.Quote(answer.Clip(e.KeyID, 64)))
	}
	if e.Status != 0 {
		b.WriteString(": status " + strconv.Itoa(e.Status))
	}
	if e.Code != "" {
		b.WriteString(" " + e.Code)
	}
	switch {
	case e.Description != "":
		b.WriteString(" " + strconv.Quote(e.Description))
	case e.Code != "":
		b.WriteString(" without a description")
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if m := e.Mend(); m != "" {
		b.WriteString(": " + m)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *TokenError) Unwrap() error { return e.Err }

// Temporary reports whether the same request may well succeed soon: no answer,
// an answer that was not understood, a busy or failing server, or a replay that
// something on the way caused.
func (e *TokenError) Temporary() bool {
	switch {
	case e.Status == 0, e.replayed(), e.Err != nil:
		return true
	case e.Code == "temporarily_unavailable", e.Code == "server_error", e.Code == "slow_down":
		return true
	case e.Status == http.StatusRequestTimeout, e.Status == http.StatusTooEarly, e.Status == http.StatusTooManyRequests:
		return true
	}
	return e.Status >= 500
}

// Heals reports whether the refusal ends without a change on this side: when
// the public key is saved, a JWKS is fetched again, a clock is set. Such a
// refusal is retried slowly. An error that is neither Temporary nor Heals needs
// a change of the configuration, and is retried more slowly still.
func (e *TokenError) Heals() bool {
	if e.Temporary() {
		return false
	}
	return e.keyRefused() || e.blank() || e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
}

// RetryAfter returns what the server asked for, at most five minutes; 0 when it
// asked for nothing.
func (e *TokenError) RetryAfter() time.Duration { return e.retryAfter }

// Attempted returns false: nothing was sent to the API itself.
func (e *TokenError) Attempted() bool { return false }

// keyRefused reports whether another key of the same client may do better:
// SMART's invalid_client, Redox's text for an unknown kid, or the invalid_grant of
// servers that take the assertion for the grant, which client_credentials has none of.
func (e *TokenError) keyRefused() bool {
	return e.Code == "invalid_client" || e.Op == opToken && e.Code == "invalid_grant" || e.says("public key not found")
}

// replayed reports whether the assertion's jti was seen before. Each request
// has a new one, so something on the way sent the request twice. jti_known is
// what ory/fosite answers.
func (e *TokenError) replayed() bool { return e.Code == "jti_known" }

// blank reports Redox's answer to a wrong aud, alg, jti or iat: invalid_request
// with an empty description (Redox, Troubleshoot OAuth API key errors).
func (e *TokenError) blank() bool { return e.Code == "invalid_request" && e.Description == "" }

// says reports whether the description contains text, which is in lower case.
func (e *TokenError) says(text string) bool {
	return strings.Contains(strings.ToLower(e.Description), text)
}
