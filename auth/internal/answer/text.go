package answer

import (
	"html"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// redacted takes the place of what must not be seen.
const redacted = "[redacted]"

// maxText bounds, in bytes, each text of the far side that an error keeps.
const maxText = 200

// SafeText makes a text of the far side safe to keep: one line of printable
// words, bounded, without what we sent and without anything that looks like a
// secret.
func SafeText(text string, sent ...secret.Text) string {
	text = strings.ToValidUTF8(Clip(text, 16*maxText), "")
	for _, s := range sent {
		if s.IsSet() {
			text = strings.ReplaceAll(text, s.Reveal(), redacted)
		}
	}
	text = withoutSecrets(text)
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
	return Clip(strings.Join(strings.Fields(text), " "), maxText)
}

// pageText returns the words of a text or HTML page.
func pageText(body []byte) string {
	text := Clip(string(body), 4096)
	if !strings.Contains(text, "<") {
		return text
	}
	return html.UnescapeString(withoutTags(withoutBlind(text)))
}

// safeURI keeps an error_uri only when it is an ordinary https address that
// holds nothing of what we sent.
func safeURI(text string, sent ...secret.Text) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(text) > maxText {
		return ""
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		if len(part) > 64 {
			return ""
		}
	}
	for _, s := range sent {
		if s.IsSet() && strings.Contains(text, s.Reveal()) {
			return ""
		}
	}
	return u.String()
}

// Clip cuts text to at most n bytes at a rune's edge.
func Clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}
