package jsonread

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var jsonSeeds = []string{
	`{}`, `[]`, `null`, `true`, `false`, `0`, `-0`, `-0.5e+10`, `1E5`, `"a"`, `"\u00e9\n\"\\"`, ` {"a" : [1, {"b":null}] } `,
	``, ` `, `{`, `[`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[,1]`, `{,}`, `{a:1}`, `{'a':1}`, `01`, `1.`, `.5`, `+1`, `-`,
	`1e`, `1e+`, `tru`, `nulll`, `"`, `"\`, `"\x"`, `"\u12"`, `"\u12G4"`, "\"\n\"", `{} {}`, `[1 2]`, `{"a":1 "b":2}`, `]`, `}`,
	`[}`, `{]`, "\ufeff{}", "\"\xff\"", `{"a":1}x`, `{"Meta":{"Source":{"ID":"x"}}}`, `["\ud800"]`,
	"[\"\\u0\x1000\"]", `{"a":1 `, `{"a" 1}`, `{"a":1;"b":2}`, `{"a":x}`, `{"a\q":1}`, `{"a":1,2}`,
}

func TestJSON_AgreesWithTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for _, text := range jsonSeeds {
		if got, want := Valid([]byte(text)), json.Valid([]byte(text)); got != want {
			t.Errorf("%q: %t, encoding/json says %t", text, got, want)
		}
	}
	for _, depth := range []int{9999, 10000, 10001, 100000} {
		text := []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth))
		if got, want := Valid(text), json.Valid(text); got != want {
			t.Errorf("depth %d: %t, encoding/json says %t", depth, got, want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, text := range jsonSeeds {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, want := Valid(text), json.Valid(text); got != want {
			t.Fatalf("%q: %t, encoding/json says %t", text, got, want)
		}
		if _, ok, _ := Document(text); ok != json.Valid(text) {
			t.Fatalf("%q: document says %t", text, ok)
		}
		if !Valid(text) {
			return
		}
		list, _, isObject := Document(text)
		if !isObject {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(text, &want); err != nil {
			return
		}
		got := map[string]json.RawMessage{}
		for _, m := range list {
			got[m.Name] = m.Value
		}
		if !validUTF8Names(want) {
			return // names that are not UTF-8 come out repaired in one and raw in the other
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: %s", text, diff)
		}
	})
}

func validUTF8Names(m map[string]json.RawMessage) bool {
	for name := range m {
		if strings.ContainsRune(name, '\ufffd') {
			return false
		}
	}
	return true
}
