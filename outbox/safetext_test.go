package outbox

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
		if got := safeLine(in); got != want {
			t.Errorf("safeLine(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzSafeLine(f *testing.F) {
	f.Add("a\r\nb")
	f.Add(strings.Repeat("\u00e9", 300))
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, s string) {
		got := safeLine(s)
		if len(got) > maxError || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00\x1b") {
			t.Fatalf("safeLine(%q) = %q", s, got)
		}
		if safeLine(got) != got {
			t.Fatalf("safeLine is not stable: %q", got)
		}
	})
}

func TestTraceContext(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		goldenTrace: true, "01" + goldenTrace[2:]: true,
		"ff" + goldenTrace[2:]: false, goldenTrace + "0": false, goldenTrace[1:]: false, strings.ToUpper(goldenTrace): false,
		strings.ReplaceAll(goldenTrace, "-", "_"): false, "": false,
	} {
		if got := isTraceParent(in); got != want {
			t.Errorf("isTraceParent(%q) = %v", in, got)
		}
	}
	for in, want := range map[string]bool{"a=1,b=2": true, strings.Repeat("s", maxState): true, strings.Repeat("s", maxState+1): false, "": false, "a=\n": false} {
		if got := isTraceState(in); got != want {
			t.Errorf("isTraceState(%.20q) = %v", in, got)
		}
	}
}
