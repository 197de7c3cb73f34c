package outbox

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// safeLine makes one bounded line of printable text: what a header can carry
// and a terminal can show.
func safeLine(s string) string {
	clean := len(s) <= maxError
	for i := 0; clean && i < len(s); i++ {
		clean = s[i] >= ' ' && s[i] <= '~'
	}
	if !clean {
		s = strings.Map(func(r rune) rune {
			if r == utf8.RuneError {
				return '?'
			}
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, s[:min(len(s), maxError)])
		s = strings.ToValidUTF8(s[:min(len(s), maxError)], "")
	}
	return strings.TrimSpace(s)
}

// joinLogIDs drops ids that would not survive a comma list in a header: they
// come from the far side.
func joinLogIDs(ids []string) string {
	var b strings.Builder
	kept := 0
	for _, id := range ids {
		if kept == maxLogIDs {
			break
		}
		if id == "" || len(id) > maxLogID || !visible(id) || strings.Contains(id, ",") {
			continue
		}
		if kept > 0 {
			b.WriteByte(',')
		}
		b.WriteString(id)
		kept++
	}
	return b.String()
}
