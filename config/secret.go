package config

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// redacted stands for a secret wherever one is printed.
const redacted = "[redacted]"

// Secret is a text that does not show itself: in every verb of fmt, in JSON,
// YAML, text encodings and slog it reads [redacted]. The zero value is unset and
// prints as nothing. Compare with Equal: == compares identities.
type Secret = secret.Text

// NewSecret makes a Secret; "" makes an unset one.
func NewSecret(text string) Secret { return secret.New(text) }

// URL is an address, or a comma list of addresses, that may carry a user and a
// password: those print as [redacted], as a Secret does. The zero value is unset.
// Compare with Equal: == compares identities.
type URL struct {
	// Not a string: fmt prints a string as it is for %p and %w, without Format.
	whole Secret
}

// NewURL makes a URL of a text, which is not checked; "" makes an unset one.
func NewURL(text string) URL { return URL{NewSecret(text)} }

// Reveal returns the address as it was given.
func (u URL) Reveal() string { return u.whole.Reveal() }

// IsSet reports whether there is an address.
func (u URL) IsSet() bool { return u.whole.IsSet() }

// Equal reports whether both hold the same text.
func (u URL) Equal(o URL) bool { return u.whole.Equal(o.whole) }

// String returns the address with user and password redacted.
func (u URL) String() string {
	parts := strings.Split(u.Reveal(), ",")
	var out []string
	for i := 0; i < len(parts); i++ {
		part := parts[i]
		// A password may hold a comma: rather hide a host than show half of one.
		for !strings.Contains(part, "@") && ownsNext(parts[i+1:]) {
			i++
			part += "," + parts[i]
		}
		out = append(out, redactUser(part))
	}
	return strings.Join(out, ",")
}

// holdsUser reports whether there is a user, password or token in the address.
func (u URL) holdsUser() bool { return u.String() != u.Reveal() }

// ownsNext reports whether the first @ among parts comes before the next scheme.
func ownsNext(parts []string) bool {
	for _, p := range parts {
		if strings.Contains(p, "://") {
			return false
		}
		if strings.Contains(p, "@") {
			return true
		}
	}
	return false
}

func redactUser(address string) string {
	at := strings.LastIndex(address, "@")
	if at < 0 {
		return address
	}
	scheme := ""
	if i := strings.Index(address[:at], "://"); i >= 0 {
		scheme = address[:i+3]
	}
	return scheme + redacted + address[at:]
}

// Format writes what String returns, quoted for %q and %#v.
func (u URL) Format(f fmt.State, verb rune) {
	if verb == 'q' || (verb == 'v' && f.Flag('#')) {
		_, _ = fmt.Fprintf(f, "%q", u.String())
		return
	}
	_, _ = io.WriteString(f, u.String())
}

// MarshalText serves JSON and every other text encoding.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// MarshalYAML serves YAML.
func (u URL) MarshalYAML() (any, error) { return u.String(), nil }

// LogValue serves slog.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }
