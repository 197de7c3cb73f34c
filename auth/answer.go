package auth

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// defaultLifetime is taken when an answer gives none that makes sense:
	// Redox's OAuth tokens live five minutes.
	defaultLifetime = 5 * time.Minute
	// maxLifetime bounds what an answer may claim: Redox's longest, a legacy
	// token's.
	maxLifetime = 24 * time.Hour
	// maxToken bounds a token, in bytes: it must fit into a header.
	maxToken = 16 << 10
)

// grant is what a good token answer says.
type grant struct {
	token, kind, scope string
	lifetime           time.Duration
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

// readGrant reads an OAuth token answer. It is lenient where servers differ
// (numbers as strings, no lifetime, any case of "bearer") and strict where a
// mistake would be sent on in a header.
func readGrant(body []byte) (grant, error) {
	var l looseAnswer
	if err := readJSON(body, &l); err != nil {
		return grant{}, err
	}
	g := grant{
		token:    text(l.AccessToken),
		kind:     clip(text(l.TokenType), 32),
		scope:    clip(text(l.Scope), 4096),
		lifetime: lifetime(l.ExpiresIn),
	}
	if g.kind != "" && !strings.EqualFold(g.kind, "bearer") {
		return grant{}, errors.New("the token type is not Bearer")
	}
	return g, checkBearer(g.token)
}

// readJSON reads a bounded answer; its error never quotes it.
func readJSON(body []byte, into any) error {
	if len(body) > maxAnswer {
		return errors.New("it is larger than " + strconv.Itoa(maxAnswer) + " bytes")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errors.New("it is not a JSON object")
	}
	return nil
}

// checkBearer takes what RFC 6750 calls a b64token, and any other printable
// ASCII without spaces: nothing that could break out of a header.
func checkBearer(token string) error {
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

// text returns a JSON string's text, a number's digits, "" of anything else.
func text(raw json.RawMessage) string {
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
	seconds, err := strconv.ParseFloat(strings.TrimSpace(text(raw)), 64)
	switch {
	case math.IsNaN(seconds), seconds <= 0, err != nil && !math.IsInf(seconds, 1):
		return defaultLifetime
	case seconds > maxLifetime.Seconds():
		return maxLifetime
	}
	return max(time.Duration(seconds*float64(time.Second)), time.Second)
}

// readRefusal reads OAuth's error members, or the words of a plain or HTML
// answer: Redox answers some refusals with a bare text (HTTP status codes: what
// they mean).
func readRefusal(body []byte, sent []Secret) (code, description, uri string) {
	var l looseAnswer
	if len(body) > maxAnswer {
		body = body[:maxAnswer]
	}
	if json.Unmarshal(body, &l) != nil {
		return "", remoteText(pageText(body), sent...), ""
	}
	code = clip(remoteText(text(l.Error), sent...), 64)
	description = remoteText(text(l.Description), sent...)
	return code, description, remoteURI(text(l.URI), sent...)
}
