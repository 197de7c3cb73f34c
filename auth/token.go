package auth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// redacted is what every printed form of a secret shows.
const redacted = "[redacted]"

// Secret is a text that must not be seen: a client secret, a token. Every printed
// form of it is "[redacted]"; only its method Reveal shows the text.
type Secret = secret.Text

// NewSecret hides a text. An empty text makes an unset Secret.
func NewSecret(text string) Secret { return secret.New(text) }

// Token is one access token and what is known about it. Every printed form
// hides the token itself. A Token is immutable and safe for concurrent use.
type Token struct {
	value Secret

	// Type is the token type as the server named it, normally "Bearer" in any
	// case. "" means that the server named none, which counts as Bearer.
	Type string
	// Scope is what the server granted, space separated; often "".
	Scope string
	// IssuedAt is when the request for the token was begun, by the local clock.
	IssuedAt time.Time
	// Expires is when the token ends, by the local clock. It is counted from
	// IssuedAt, so it is never later than the server's own idea of it.
	Expires time.Time
}

// NewToken returns a Bearer token that was issued and expires at the given
// instants. Writers of a [Minter] use it.
func NewToken(value string, issuedAt, expires time.Time) Token {
	return Token{value: NewSecret(value), Type: "Bearer", IssuedAt: issuedAt, Expires: expires}
}

// Value returns the token itself, for an Authorization header. The caller keeps
// it out of logs and errors.
func (t Token) Value() string { return t.value.Reveal() }

// Lifetime returns the time between issue and end.
func (t Token) Lifetime() time.Duration { return t.Expires.Sub(t.IssuedAt) }

// String describes the token without showing it.
func (t Token) String() string {
	if !t.value.IsSet() {
		return "no token"
	}
	return redacted + " until " + t.Expires.UTC().Format(time.RFC3339)
}

// Format writes what String returns, whatever the verb and flags.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// MarshalText returns what String returns; encoding/json uses it too.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalYAML returns what String returns.
func (t Token) MarshalYAML() (any, error) { return t.String(), nil }

// LogValue returns what String returns.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// Minter obtains one token from an authorization server.
//
// Mint makes a new request each time it is called; it may block until ctx ends and is
// safe for concurrent use. A token without an issue time counts as new, and one without
// an end as valid for five minutes. [OAuth] and [Legacy] are Minters.
//
// A Minter may also have these methods, which a Cache then calls. They must not block.
//
//   - Forget() is called when the API refused a token: what the Minter keeps, such as a
//     refresh token, is not to be used again.
//   - Skew() (ahead time.Duration, known bool) and KeyInUse() [Key] are shown by
//     [Cache.Status].
//
// Its error may have these methods, wherever in its chain. That of a [*TokenError] has
// them all.
//
//   - Temporary() bool and Heals() bool, both of them: it is asked again soon when the
//     first is true, as it is after an error without them; slowly when the second is,
//     since the refusal may end by itself; and more slowly still when neither is.
//   - RetryAfter() time.Duration is the least wait until the next request.
//   - Mend() string is what a person can do, for [Status].
//   - NotAsked() bool: true says that no request was made, so that neither the endpoint
//     nor the key is to blame. The error of a transport may have it as well.
type Minter interface {
	Mint(ctx context.Context) (Token, error)
}

// MinterFunc makes a [Minter] of a function.
type MinterFunc func(ctx context.Context) (Token, error)

// Mint calls f.
func (f MinterFunc) Mint(ctx context.Context) (Token, error) { return f(ctx) }
