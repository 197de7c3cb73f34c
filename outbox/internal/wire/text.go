package wire

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line makes one bounded line of printable text: what a header can carry
// and a terminal can show.
func Line(s string) string {
	clean := len(s) <= MaxLine
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
		}, s[:min(len(s), MaxLine)])
		s = strings.ToValidUTF8(s[:min(len(s), MaxLine)], "")
	}
	return strings.TrimSpace(s)
}

// Visible reports whether s is made of visible ASCII: no space, no control
// characters, nothing that a header or a log line could be broken with.
func Visible(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// Clip bounds a bad name so that it can be shown in an error.
func Clip(s string) string {
	if len(s) > MaxSource {
		return s[:MaxSource] + "..."
	}
	return s
}
