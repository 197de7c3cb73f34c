package auth

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every printed form of a secret shows.
const redacted = "[redacted]"

// Secret is a text that must not be seen: a client secret, a token. Every
// printed form of it is "[redacted]"; only [Secret.Reveal] shows the text.
//
// The text sits behind a pointer, so that fmt prints an address and not the
// text even where it cannot call methods: in an unexported field of another
// struct. The zero value is an unset Secret. A Secret is immutable, safe for
// concurrent use, and compared with [Secret.Equal], not ==.
type Secret struct{ text *string }

// NewSecret hides text. An empty text makes an unset Secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the text itself. The caller keeps it out of logs and errors.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsSet reports whether there is a text.
func (s Secret) IsSet() bool { return s.text != nil }

// Equal compares two secrets in time that depends on their lengths only.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns "[redacted]", or "" of an unset Secret.
func (s Secret) String() string {
	if s.text == nil {
		return ""
	}
	return redacted
}

// Format writes what String returns, whatever the verb and flags.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns what String returns; encoding/json uses it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML returns what String returns.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue returns what String returns.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
