package redoxsim

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/assertion"
)

func FuzzMessage(f *testing.F) {
	for _, text := range append([]string{``, `{}`, `[]`, `null`, "\"\xff\"", `{"a":1,2}`, `{"Meta":{"Source":{"ID":"x"}}}`}, keyed("k", "503, ok"), body("Clinical Summary.PatientQuery", "", ""),
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
		a, r := assertion.Parse(text)
		if r != nil {
			return
		}
		if strings.Count(text, ".") != 2 || a.Kid == "" {
			t.Fatalf("took %q apart", text)
		}
		if a.Verify(rsaKey().Public()) == nil {
			t.Fatalf("verified %q, which this key has not signed", text)
		}
		a.Check(newClock().now(), s.Audiences, true)
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
