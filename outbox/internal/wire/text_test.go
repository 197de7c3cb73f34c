package wire

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSafeLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                       "",
		"status 400":             "status 400",
		"  a  ":                  "a",
		"a\r\nb":                 "a  b",
		"a\x1b[31mb":             "a [31mb",
		"caf\u00e9":              "caf\u00e9",
		"a\u202eb":               "a b", // right-to-left override
		"a\xffb":                 "a?b",
		"a\x00b":                 "a b",
		strings.Repeat("x", 512): strings.Repeat("x", 512),
		strings.Repeat("x", 513): strings.Repeat("x", 512),
	} {
		if got := Line(in); got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzSafeLine(f *testing.F) {
	f.Add("a\r\nb")
	f.Add(strings.Repeat("\u00e9", 300))
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, s string) {
		got := Line(s)
		if len(got) > MaxLine || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00\x1b") {
			t.Fatalf("Line(%q) = %q", s, got)
		}
		if Line(got) != got {
			t.Fatalf("Line is not stable: %q", got)
		}
	})
}
