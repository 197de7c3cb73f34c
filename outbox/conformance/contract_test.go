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

// vector is one of the contract's test vectors.
type vector struct{ secret, source, text, want string }

// vectors are those of outbox/testdata/vectors.json whose secret is not empty: without one there is
// nothing to compute.
func vectors(t *testing.T) (tokens, ids []vector) {
	t.Helper()
	text, err := os.ReadFile("../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Tokens []struct{ Secret, Key, Token string } `json:"order_tokens"`
		IDs    []struct {
			Secret, Source string
			Message        string `json:"message_id"`
			ID             string `json:"nats_msg_id"`
		} `json:"nats_msg_ids"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	for _, r := range v.Tokens {
		tokens = append(tokens, vector{secret: r.Secret, text: r.Key, want: r.Token})
	}
	for _, r := range v.IDs {
		if r.Secret != "" {
			ids = append(ids, vector{secret: r.Secret, source: r.Source, text: r.Message, want: r.ID})
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
