package conformance

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// contract is the text of outbox/CONTRACT.md.
func contract(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../CONTRACT.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// example is a block of code with a file name above it.
var example = regexp.MustCompile("(?s)\\*\\*([\\w.-]+)\\*\\*\n\n```\\w+\n(.*?)```")

// examples are the files of the contract's examples, by name.
func examples(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, m := range example.FindAllStringSubmatch(contract(t), -1) {
		if _, twice := found[m[1]]; twice {
			t.Errorf("%s is there twice", m[1])
		}
		found[m[1]] = m[2]
	}
	return found
}

// vector is a row of one of the contract's tables of test vectors.
type vector struct{ secret, source, text, want string }

// vectors are the rows whose secret is not empty: without one there is nothing to compute.
func vectors(t *testing.T) (tokens, ids []vector) {
	t.Helper()
	unquote := func(s string) (text string) {
		if err := json.Unmarshal([]byte(s), &text); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		return text
	}
	text := contract(t)
	for _, m := range regexp.MustCompile("(?m)^\\| `(\".+\")` \\| `(\".*\")` \\| `([0-9a-f]{32})` \\|$").FindAllStringSubmatch(text, -1) {
		tokens = append(tokens, vector{secret: unquote(m[1]), text: unquote(m[2]), want: m[3]})
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\".+\")` \\| `([a-z-]+)` \\| `([^`\"]+)` \\| `([^`]+)` \\|$").FindAllStringSubmatch(text, -1) {
		if secret := unquote(m[1]); secret != "" {
			ids = append(ids, vector{secret: secret, source: m[2], text: m[3], want: m[4]})
		}
	}
	if len(tokens) < 10 || len(ids) < 5 {
		t.Fatalf("%d vectors of tokens and %d of ids found", len(tokens), len(ids))
	}
	return tokens, ids
}

// Every example belongs to a client that this package runs, and every client has all of them.
func TestExamples_AreTheSameForEachClient(t *testing.T) {
	t.Parallel()
	have := slices.Sorted(maps.Keys(examples(t)))
	want := []string{"message.json", "query.json"}
	for _, c := range clients {
		for _, name := range append([]string{"ids"}, scripts...) {
			want = append(want, c.file(name))
		}
	}
	if slices.Sort(want); !slices.Equal(have, want) {
		t.Errorf("examples %s\nwant %s", strings.Join(have, " "), strings.Join(want, " "))
	}
}
