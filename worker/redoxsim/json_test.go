package redoxsim

import (
	"bytes"
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
		if got, want := validJSON([]byte(text)), json.Valid([]byte(text)); got != want {
			t.Errorf("%q: %t, encoding/json says %t", text, got, want)
		}
	}
	for _, depth := range []int{9999, 10000, 10001, 100000} {
		text := []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth))
		if got, want := validJSON(text), json.Valid(text); got != want {
			t.Errorf("depth %d: %t, encoding/json says %t", depth, got, want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, text := range jsonSeeds {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, want := validJSON(text), json.Valid(text); got != want {
			t.Fatalf("%q: %t, encoding/json says %t", text, got, want)
		}
		if _, ok, _ := document(text); ok != json.Valid(text) {
			t.Fatalf("%q: document says %t", text, ok)
		}
		if !validJSON(text) {
			return
		}
		list, _, isObject := document(text)
		if !isObject {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(text, &want); err != nil {
			return
		}
		got := map[string]json.RawMessage{}
		for _, m := range list {
			got[m.name] = m.value
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

func FuzzMessage(f *testing.F) {
	for _, text := range append(jsonSeeds, keyed("k", "503, ok"), body("Clinical Summary.PatientQuery", "", ""),
		`{"Meta":{"Destinations":[{"ID":"a"},{"ID":1}],"Source":{"ID":null}}}`, `{"_sim":{"key":1}}`) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		m, c := parseMessage(text)
		if m == nil || !bytes.Equal(before, text) {
			t.Fatal("no message, or the body was changed")
		}
		if c == nil && (m.dataModel == "" || m.eventType == "" || !json.Valid(text)) {
			t.Fatalf("accepted %q", text)
		}
		if c != nil && (c.status != 400 || c.text == "") {
			t.Fatalf("complaint %+v", c)
		}
		m.has("Patient.Identifiers")
		_, _ = nthOf(m.script, 1)
	})
}

func FuzzAssertion(f *testing.F) {
	good := "eyJhbGciOiJSUzM4NCIsImtpZCI6ImsiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJhIiwic3ViIjoiYSIsImF1ZCI6WyJiIl0sImlhdCI6MSwiZXhwIjoyLCJqdGkiOiJqIn0.AAAA"
	f.Add(good)
	f.Add("..")
	f.Add("e30.e30.")
	f.Add("e30.e30.e30.e30")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("W10.W10.AA")
	f.Add(strings.Replace(good, "eyJ", "eyK", 1))
	s := &Server{Audiences: []string{"b"}}
	if err := s.AddOAuthKey("a", "k", rsaKey().Public()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, r := parseAssertion(text)
		if r != nil {
			return
		}
		if strings.Count(text, ".") != 2 || a.kid == "" {
			t.Fatalf("took %q apart", text)
		}
		if a.verify(rsaKey().Public()) == nil {
			t.Fatalf("verified %q, which this key has not signed", text)
		}
		a.check(newClock().now(), s.Audiences, true)
	})
}

func FuzzFault(f *testing.F) {
	for _, text := range []string{"ok", "503", "accept reset", "huge=64MB delay=2s", "slow-body=1s", "redirect=/x", "retry-after=3 429", "x", "huge=-1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		one, err := ParseFault(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "redoxsim: ") {
				t.Fatalf("error without prefix: %v", err)
			}
			return
		}
		two, err := ParseFault(one.String())
		if err != nil {
			t.Fatalf("%q printed as %q, which does not parse: %v", text, one, err)
		}
		if diff := cmp.Diff(one, two); diff != "" {
			t.Fatal(diff)
		}
	})
}
