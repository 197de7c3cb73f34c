package answer

import (
	"regexp"
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

// What is scanned by hand is what these expressions say.
var (
	secretLike = regexp.MustCompile(`eyJ[A-Za-z0-9_.-]+|[A-Za-z0-9_+=~-]{24,}`)
	blindText  = regexp.MustCompile(`(?is)<(script|style|head)\b.*?</(script|style|head)\s*>|<!--.*?-->`)
	markup     = regexp.MustCompile(`(?s)<[^>]*>`)
)

func TestScan_IsWhatExpressionsSay(t *testing.T) {
	t.Parallel()
	parts := []string{"<script", "<STYLE>", "<head lang=x>", "<header>", "<head_>", "</script>", "</Style \t\n>", "</head x>", "<!--", "-->", "<!---->", "<", ">", "a<b", "<p>", "ä",
		"eyJ", "eyJ.", "eyJä", "x", "-", ".", "=", "~", "0123456789", "abcdefghijklmnopqrstuvw", "abcdefghijklmnopqrstuvwx", " ", "\n", "\xff", "_"}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 0, 14).Draw(t, "parts"), "")
		for what, pair := range map[string][2]string{
			"secrets": {withoutSecrets(text), secretLike.ReplaceAllString(text, redacted)},
			"blind":   {withoutBlind(text), blindText.ReplaceAllString(text, " ")},
			"tags":    {withoutTags(text), markup.ReplaceAllString(text, " ")},
		} {
			if pair[0] != pair[1] {
				t.Fatalf("%s of %q: %q, want %q", what, text, pair[0], pair[1])
			}
		}
	})
}
