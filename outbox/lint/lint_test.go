package lint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/redoxworker/redoxworker/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// visit is a schema in the form of Redox's, with what draft 4 has besides.
const visit = `{
  "$schema": "http://json-schema.org/draft-04/schema#",
  "type": "object",
  "required": ["Meta", "Patient"],
  "properties": {
    "Meta": {"$ref": "../common/meta.json#/definitions/Meta"},
    "Patient": {"$ref": "#/definitions/Patient"},
    "Visits": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["VisitNumber"], "additionalProperties": false,
      "properties": {"VisitNumber": {"type": ["string", "null"], "maxLength": 5}, "Class": {"enum": ["Inpatient", "Outpatient", null]}, "At": {"type": "string", "format": "date-time"}}}}
  },
  "definitions": {
    "Patient": {"type": "object", "properties": {
      "ID": {"type": "string", "pattern": "^[0-9]+$"},
      "Age": {"type": "integer", "minimum": 0, "exclusiveMinimum": true},
      "Contacts": {"type": "array", "items": {"$ref": "#/definitions/Patient"}},
      "Extensions": {"type": "object", "additionalProperties": {"type": "object", "required": ["url"]}},
      "Code": {"anyOf": [{"type": "string"}, {"type": "number"}]}
    }}
  }
}`

const common = `{"definitions":{"Meta":{"type":"object","required":["DataModel","EventType"],"properties":{"DataModel":{"type":"string"},"EventType":{"type":"string"},"Test":{"type":["boolean","null"]}}}}}`

// files makes a directory.
func files(t testing.TB, all map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range all {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func linter(t testing.TB, all map[string]string) *Linter {
	t.Helper()
	l, err := New(files(t, all))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func visits(t testing.TB) *Linter {
	return linter(t, map[string]string{"schemas/clinicalsummary/visitpush.json": visit, "schemas/common/meta.json": common})
}

func message(rest string) outbox.Message {
	return outbox.Message{ID: "m-1", Source: "clinic-a", Body: []byte(`{"Meta":{"DataModel":"Clinical Summary","EventType":"VisitPush"}` + rest + `}`)}
}

func TestCheck_Problems(t *testing.T) {
	t.Parallel()
	l := visits(t)
	for name, tc := range map[string]struct {
		rest string
		want []Problem
	}{
		"fits":              {`,"Patient":{"ID":"1","Age":3,"Other":{"SECRET":1}},"Visits":[{"VisitNumber":null}],"More":[1]`, nil},
		"required":          {``, []Problem{{"Patient", "is missing"}}},
		"required, below":   {`,"Patient":{},"Visits":[{"VisitNumber":"1"},{}]`, []Problem{{"Visits[1].VisitNumber", "is missing"}}},
		"type":              {`,"Patient":[],"Visits":[{"VisitNumber":7}]`, []Problem{{"Patient", "is array and should be object"}, {"Visits[0].VisitNumber", "is number and should be null or string"}}},
		"the message":       {`,"Patient":{},"Visits":[]`, []Problem{{"Visits", "has too few elements"}}},
		"enum":              {`,"Patient":{},"Visits":[{"VisitNumber":"1","Class":"SECRET"}]`, []Problem{{"Visits[0].Class", "is none of the values that the schema lists"}}},
		"pattern":           {`,"Patient":{"ID":"SECRET"}`, []Problem{{"Patient.ID", "does not match the schema's pattern"}}},
		"minimum":           {`,"Patient":{"Age":-47114711}`, []Problem{{"Patient.Age", "is too small"}}},
		"integer":           {`,"Patient":{"Age":1.5}`, []Problem{{"Patient.Age", "is number and should be integer"}}},
		"length, format":    {`,"Patient":{},"Visits":[{"VisitNumber":"SECRET","At":"SECRET"}]`, []Problem{{"Visits[0].At", "is not of the format date-time"}, {"Visits[0].VisitNumber", "is too long"}}},
		"alternatives":      {`,"Patient":{"Code":{"SECRET":1}}`, []Problem{{"Patient.Code", "fits none, or more than one, of the schema's alternatives"}}},
		"recursion":         {`,"Patient":{"Contacts":[{"Contacts":[{"ID":"SECRET"}]}]}`, []Problem{{"Patient.Contacts[0].Contacts[0].ID", "does not match the schema's pattern"}}},
		"unknown members":   {`,"Patient":{},"Visits":[{"VisitNumber":"1","SECRET-1":1,"SECRET-2":{}}]`, []Problem{{"Visits[0]", "has 2 members that the schema does not have"}}},
		"unknown names":     {`,"Patient":{"Extensions":{"SECRET":{},"Bixby":1,"0":{}}}`, []Problem{{"Patient.Extensions.*", "is number and should be object"}, {"Patient.Extensions.*.url", "is missing"}}},
		"a number as name":  {`,"Patient":{"Extensions":{"47114711":7}}`, []Problem{{"Patient.Extensions.*", "is number and should be object"}}},
		"escapes, a mark":   {`,"Patient":{"\u0049D":"S\u0045CRET"}`, []Problem{{"Patient.ID", "does not match the schema's pattern"}}},
		"lone surrogates":   {`,"Patient":{"ID":"\ud83d"}`, []Problem{{"Patient.ID", "does not match the schema's pattern"}}},
		"a name twice":      {`,"Patient":{"ID":"1","ID":"SECRET"}`, []Problem{{"Patient.ID", "does not match the schema's pattern"}}},
		"wrong Meta":        {`,"Patient":{},"Meta":{"DataModel":"Clinical Summary","EventType":"VisitPush","Test":"SECRET"}`, []Problem{{"Meta.Test", "is string and should be null or boolean"}}},
		"as Redox has them": {`,"Patient":{"Contacts":[]},"Visits":[{"VisitNumber":"","Class":null,"At":"2026-01-31T12:00:00.000Z"}]`, nil},
	} {
		m := message(tc.rest)
		err := l.Check(t.Context(), m)
		var got *Error
		if errors.As(err, &got) {
			if diff := cmp.Diff(tc.want, got.Problems); diff != "" || got.More != 0 || got.DataModel != "Clinical Summary" || got.EventType != "VisitPush" {
				t.Errorf("%s: %+v: %s", name, got, diff)
			}
		} else if err != nil || tc.want != nil {
			t.Errorf("%s: %v", name, err)
		}
		text := fmt.Sprintf("%v %+v %#v", err, err, got)
		for _, secret := range []string{"SECRET", "Bixby", "4711"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
	m := message(``)
	m.Body = append([]byte("\ufeff"), m.Body...)
	if err := l.Check(t.Context(), m); err == nil || !strings.HasSuffix(err.Error(), "lint: Clinical Summary VisitPush does not fit its schema: Patient is missing") {
		t.Error(err)
	}
}

// Of many problems some are named, the first by their paths, and the others counted.
func TestCheck_ManyProblems(t *testing.T) {
	t.Parallel()
	l := visits(t)
	for _, n := range []int{20, 21, 900, 3_000} {
		err := l.Check(t.Context(), message(`,"Patient":{},"Visits":[`+strings.Repeat(`{},`, n-1)+`{}]`))
		var e *Error
		if !errors.As(err, &e) || len(e.Problems) != 20 || e.More != n-20 || strings.Count(err.Error(), ";") > 20 {
			t.Errorf("%d: %+v", n, e)
		}
		if n <= mostCollected && e.Problems[0].Path != "Visits[0].VisitNumber" {
			t.Errorf("%d: %v", n, e.Problems)
		}
	}
}

func TestCheck_WhatIsNotJudged(t *testing.T) {
	t.Parallel()
	l := visits(t)
	other := func(meta string) outbox.Message { return outbox.Message{Body: []byte(`{"Meta":` + meta + `}`)} }
	for name, tc := range map[string]struct {
		m    outbox.Message
		want error
		text string
	}{
		"no schema":          {other(`{"DataModel":"Order","EventType":"New"}`), ErrNoSchema, "data model Order, event New"},
		"a number as event":  {other(`{"DataModel":"Order","EventType":"4711"}`), ErrNoSchema, "event (not a word)"},
		"no event":           {other(`{"DataModel":"Order"}`), ErrNoSchema, "Meta.DataModel or Meta.EventType is missing"},
		"no Meta":            {outbox.Message{Body: []byte(`{}`)}, ErrNoSchema, "is missing"},
		"Meta is a list":     {outbox.Message{Body: []byte(`{"Meta":[]}`)}, ErrNoSchema, "is missing"},
		"an array":           {outbox.Message{Body: []byte(`[4711]`)}, ErrNoSchema, "is missing"},
		"not JSON":           {outbox.Message{Body: []byte(`SECRET`)}, ErrUnchecked, "not one JSON text"},
		"nothing":            {outbox.Message{}, ErrUnchecked, "not one JSON text"},
		"two texts":          {outbox.Message{Body: []byte(`{} 4711`)}, ErrUnchecked, "not one JSON text"},
		"too deep":           {message(`,"Patient":` + strings.Repeat("[", 300) + strings.Repeat("]", 300)), ErrUnchecked, "nested deeper than 200"},
		"too many values":    {message(`,"Patient":[0` + strings.Repeat(",0", maxValues) + `]`), ErrUnchecked, "more than 1000000 values"},
		"a number too large": {message(`,"Patient":{"Age":1e4711}`), ErrUnchecked, "more digits"},
		"and too small":      {message(`,"Patient":{"Age":1E-4711}`), ErrUnchecked, "more digits"},
		"too many digits":    {message(`,"Patient":{"Age":` + strings.Repeat("7", 500) + `}`), ErrUnchecked, "more digits"},
	} {
		err := l.Check(t.Context(), tc.m)
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, kind := range []outbox.Kind{outbox.KindFHIR, outbox.KindFile, outbox.KindPlatform} {
		if err := l.Check(t.Context(), outbox.Message{Kind: kind, Body: []byte("x")}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := l.Check(ended, message(`,"Patient":{}`)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := l.Check(t.Context(), message(`,"Patient":{}`)); err != nil { // the one before broke nothing
		t.Error(err)
	}
}

func TestWarn(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	warn := visits(t).Warn(slog.New(slog.NewTextHandler(&log, nil)))
	for _, m := range []outbox.Message{message(``), message(`,"Patient":{}`), {Body: []byte("SECRET")}} {
		if err := warn(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
	if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "source=clinic-a message=m-1") || !strings.Contains(text, "Patient is missing") || strings.Contains(text, "SECRET") {
		t.Error(text)
	}
	if err := visits(t).Warn(nil)(t.Context(), message(``)); err != nil {
		t.Error(err)
	}
}

// A schema is compiled once for messages one after the other, and each of many at the same time is
// judged for itself.
func TestCheck_CompiledOnce(t *testing.T) {
	t.Parallel()
	l := visits(t)
	s := l.schemas[event{"clinicalsummary", "visitpush"}]
	var first *program
	for i := range 1000 {
		if err := l.Check(t.Context(), message(`,"Patient":{}`)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = s.idle[0]
		}
	}
	if len(s.idle) != 1 || s.idle[0] != first {
		t.Errorf("%d programs", len(s.idle))
	}
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			var e *Error
			err := l.Check(t.Context(), message(`,"Patient":{},"Visits":[`+strings.Repeat(`{},`, i)+`{}]`))
			if !errors.As(err, &e) || len(e.Problems)+e.More != i+1 {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	all.Wait()
	if len(s.idle) > cap(s.slots) || len(s.slots) != 0 {
		t.Errorf("%d programs for %d", len(s.idle), cap(s.slots))
	}
}

// A message of 10 MB, of values or one file, is judged.
func TestCheck_TenMegabytes(t *testing.T) {
	t.Parallel()
	l := visits(t)
	item := `{"ID":"12345","Age":7,"Note":"` + strings.Repeat("a note ", 30) + `"},`
	for name, rest := range map[string]string{
		"values": `,"Patient":{"Contacts":[` + strings.Repeat(item, 10_000_000/len(item)) + `{"ID":7}]}`,
		"a file": `,"Patient":{"Code":"` + strings.Repeat("QUJD", 2_500_000) + `"},"Visits":[{"VisitNumber":7}]`,
	} {
		var e *Error
		if err := l.Check(t.Context(), message(rest)); !errors.As(err, &e) || len(e.Problems) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	l := visits(f)
	for _, seed := range []string{`,"Patient":{"ID":"SECRET"}`, `,"Visits":[{"VisitNumber":{}}]`, `,"Patient":{"Extensions":{"0":[]}}`, `,"Patient":{"Age":1e99}`} {
		f.Add([]byte(message(seed).Body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := l.Check(t.Context(), outbox.Message{Body: body})
		if err == nil {
			return
		}
		if strings.Contains(err.Error(), "panicked") {
			t.Fatal(err)
		}
		var e *Error
		if !json.Valid(body) && errors.As(err, &e) {
			t.Fatalf("%q: %v", body, err)
		}
	})
}
