// Package answer reads what an authorization server answers, and makes its texts safe to keep.
package answer

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/auth/secret"
)

const (
	// DefaultLifetime is taken when an answer gives none that makes sense:
	// Redox's OAuth tokens live five minutes.
	DefaultLifetime = 5 * time.Minute
	// MaxLifetime bounds what an answer may claim: Redox's longest, a legacy
	// token's.
	MaxLifetime = 24 * time.Hour
	// MaxBytes bounds an answer; a token answer has about 2 KB.
	MaxBytes = 64 << 10
	// maxToken bounds a token, in bytes: it must fit into a header.
	maxToken = 16 << 10
)

// Grant is what a good token answer says.
type Grant struct {
	Token, Kind, Scope string
	Lifetime           time.Duration
}

// looseAnswer is a token answer or a refusal, before anything is believed of it.
type looseAnswer struct {
	AccessToken json.RawMessage `json:"access_token"`
	TokenType   json.RawMessage `json:"token_type"`
	ExpiresIn   json.RawMessage `json:"expires_in"`
	Scope       json.RawMessage `json:"scope"`
	Error       json.RawMessage `json:"error"`
	Description json.RawMessage `json:"error_description"`
	URI         json.RawMessage `json:"error_uri"`
}

// ReadGrant reads an OAuth token answer. It is lenient where servers differ
// (numbers as strings, no lifetime, any case of "bearer") and strict where a
// mistake would be sent on in a header.
func ReadGrant(body []byte) (Grant, error) {
	var l looseAnswer
	if err := ReadJSON(body, &l); err != nil {
		return Grant{}, err
	}
	g := Grant{
		Token:    Text(l.AccessToken),
		Kind:     Clip(Text(l.TokenType), 32),
		Scope:    Clip(Text(l.Scope), 4096),
		Lifetime: lifetime(l.ExpiresIn),
	}
	if g.Kind != "" && !strings.EqualFold(g.Kind, "bearer") {
		return Grant{}, errors.New("the token type is not Bearer")
	}
	return g, CheckBearer(g.Token)
}

// ReadJSON reads a bounded answer; its error never quotes it.
func ReadJSON(body []byte, into any) error {
	if len(body) > MaxBytes {
		return errors.New("it is larger than " + strconv.Itoa(MaxBytes) + " bytes")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errors.New("it is not a JSON object")
	}
	return nil
}

// CheckBearer takes what RFC 6750 calls a b64token, and any other printable
// ASCII without spaces: nothing that could break out of a header.
func CheckBearer(token string) error {
	switch {
	case token == "":
		return errors.New("it has no access token")
	case len(token) > maxToken:
		return errors.New("the access token is larger than " + strconv.Itoa(maxToken) + " bytes")
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return errors.New("the access token has characters that a header cannot carry")
		}
	}
	return nil
}

// Text returns a JSON string's text, a number's digits, "" of anything else.
func Text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// lifetime reads expires_in, in seconds: a number or a string. Missing, zero,
// negative and unreadable ones become the default, huge ones the maximum.
func lifetime(raw json.RawMessage) time.Duration {
	seconds, err := strconv.ParseFloat(strings.TrimSpace(Text(raw)), 64)
	switch {
	case math.IsNaN(seconds), seconds <= 0, err != nil && !math.IsInf(seconds, 1):
		return DefaultLifetime
	case seconds > MaxLifetime.Seconds():
		return MaxLifetime
	}
	return max(time.Duration(seconds*float64(time.Second)), time.Second)
}

// ReadRefusal reads OAuth's error members, or the words of a plain or HTML
// answer: Redox answers some refusals with a bare text (HTTP status codes: what
// they mean).
func ReadRefusal(body []byte, sent []secret.Text) (code, description, uri string) {
	var l looseAnswer
	if len(body) > MaxBytes {
		body = body[:MaxBytes]
	}
	if json.Unmarshal(body, &l) != nil {
		return "", SafeText(pageText(body), sent...), ""
	}
	code = Clip(SafeText(Text(l.Error), sent...), 64)
	description = SafeText(Text(l.Description), sent...)
	return code, description, safeURI(Text(l.URI), sent...)
}
