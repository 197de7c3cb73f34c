package answer

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/redoxworker/redoxworker/auth/secret"
)

func TestSafeText_CutsWhatLooksSecret(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain words, check client_id and x-www-form-urlencoded":    "plain words, check client_id and x-www-form-urlencoded",
		"see https://api.redoxengine.com/v2/auth/token":             "see https://api.redoxengine.com/v2/auth/token",
		"got eyJhbGciOiJSUzM4NCJ9abcdef.eyJpc3MiOiJ4In0abcdefgh.xy": "got [redacted]",
		"id 7ce6f387-c33c-417d-8682-81e83628cbd9 unknown":           "id [redacted] unknown",
		"tabs\tand\n\nlines ": "tabs and lines",
		"\x1b[31mred\x1b[0m":  "[31mred[0m",
	} {
		if got := SafeText(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestSafeText_IsBoundedAndClean(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		hidden := rapid.StringMatching(`[a-z0-9]{6,40}`).Draw(t, "secret")
		text := rapid.String().Draw(t, "before") + hidden + rapid.String().Draw(t, "after")
		got := SafeText(text, secret.New(hidden))
		if strings.Contains(got, hidden) && !strings.Contains("[redacted]", hidden) {
			t.Fatalf("the secret came through: %q", got)
		}
		if len(got) > maxText+len("…") || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\t\x00") {
			t.Fatalf("not clean: %q", got)
		}
	})
}

func TestClip_CutsAtRunes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"aää", 2, "a…"}, {"äää", 1, "…"}, {"", 0, ""}} {
		if got := Clip(c.text, c.n); got != c.want {
			t.Errorf("Clip(%q, %d) is %q", c.text, c.n, got)
		}
	}
}
