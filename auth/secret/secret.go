// Package secret has the one type for texts that must not be seen: passwords, API keys,
// tokens. Packages auth and config call it Secret, so that a value passes from one to the
// other without being shown on the way.
package secret

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every printed form of a text shows.
const redacted = "[redacted]"

// Text is a text that must not be seen. Every printed form of it is "[redacted]": through
// fmt with any verb, in JSON, YAML and other text encodings, in slog and in a panic. Only
// [Text.Reveal] shows it.
//
// It sits behind a pointer, so that fmt prints an address even where it cannot call
// methods: in an unexported field of another struct. The zero value is unset and prints as
// nothing. A Text is immutable, safe for concurrent use, and compared with [Text.Equal],
// not ==.
type Text struct{ text *string }

// New hides a text. An empty one makes an unset Text.
func New(text string) Text {
	if text == "" {
		return Text{}
	}
	return Text{text: &text}
}

// Content returns the secret that a file holds: its text without a byte order mark and
// without the white space around it. It shares memory with text.
func Content(text []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))
}

// Reveal returns the text itself, "" when unset. The caller keeps it out of logs and
// errors.
func (t Text) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// IsSet reports whether there is a text.
func (t Text) IsSet() bool { return t.text != nil }

// Equal compares two texts in time that depends on their lengths only.
func (t Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// String returns "[redacted]", or "" of an unset Text.
func (t Text) String() string {
	if t.text == nil {
		return ""
	}
	return redacted
}

// Format writes what String returns, whatever the verb and flags.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// MarshalText returns what String returns; encoding/json uses it too.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalYAML returns what String returns.
func (t Text) MarshalYAML() (any, error) { return t.String(), nil }

// LogValue returns what String returns.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }
