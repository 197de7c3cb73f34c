package redox

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestSkim(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body  string
		plain bool // else it is left to the decoder
	}{
		"alone":                 {`{"Meta":{}}`, true},
		"first":                 {`{"Meta":{"A":[1]},"B":2}`, true},
		"last":                  {`{"B":{"Meta":{"x":1}},"Meta":{"A":1}}`, true},
		"white space":           {" {\n\t\"Meta\" :\r{ } , \"B\" : [ ] } ", true},
		"values of all kinds":   {`{"a":[true,false,null,-0.5e+7,0,"",{},[]],"Meta":{}}`, true},
		"long strings":          {`{"a":"` + strings.Repeat("plain ", 99) + `","Meta":{}}`, true},
		"strings of all sizes":  {`{"a":["1","22","333","4444","55555","666666","7777777","88888888"],"Meta":{}}`, true},
		"text in other scripts": {`{"a":"Müller, 山田 😀","Meta":{}}`, true},
		"escapes in a value":    {`{"a":"\"\\\/\b\f\n\r\t\u00e9","Meta":{}}`, true},
		"names twice elsewhere": {`{"a":1,"a":2,"Meta":{}}`, true},

		"nothing":                  {``, false},
		"no object":                {`[{"Meta":{}}]`, false},
		"no Meta":                  {`{"a":1}`, false},
		"empty":                    {`{}`, false},
		"Meta twice":               {`{"Meta":{},"Meta":{}}`, false},
		"Meta is no object":        {`{"Meta":[]}`, false},
		"Meta escaped":             {`{"\u004deta":{}}`, false},
		"a name escaped":           {`{"\u0061":1,"Meta":{}}`, false},
		"surrogates":               {`{"a":"\ud83d\ude00","Meta":{}}`, false},
		"deep":                     {`{"a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `,"Meta":{}}`, false},
		"truncated":                {`{"Meta":{}`, false},
		"trailing text":            {`{"Meta":{}}x`, false},
		"trailing comma":           {`{"Meta":{},}`, false},
		"trailing comma in array":  {`{"Meta":{},"a":[1,]}`, false},
		"trailing comma in object": {`{"Meta":{},"a":{"b":1,}}`, false},
		"no comma":                 {`{"Meta":{} "a":1}`, false},
		"no colon":                 {`{"Meta" {}}`, false},
		"bare name":                {`{Meta:{}}`, false},
		"leading zero":             {`{"Meta":{},"a":01}`, false},
		"plus":                     {`{"Meta":{},"a":+1}`, false},
		"point without digits":     {`{"Meta":{},"a":1.}`, false},
		"exponent without digits":  {`{"Meta":{},"a":1e}`, false},
		"minus alone":              {`{"Meta":{},"a":-}`, false},
		"literal cut":              {`{"Meta":{},"a":tru}`, false},
		"control character":        {"{\"Meta\":{},\"a\":\"12345678\x01\"}", false},
		"Latin-1":                  {"{\"Meta\":{},\"a\":\"M\xfcller\"}", false},
		"bad escape":               {`{"Meta":{},"a":"\x"}`, false},
		"bad unicode escape":       {`{"Meta":{},"a":"\u12g4"}`, false},
		"escape cut":               {`{"Meta":{},"a":"\u12`, false},
		"value missing":            {`{"Meta":{"Destinations":[{"ID":`, false},
		"element missing":          {`{"Meta":{"Destinations":[`, false},
		"string cut":               {`{"Meta":{},"a":"12345678`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var e envelope
			if got := e.skim([]byte(tc.body)); got != tc.plain {
				t.Errorf("%v, want %v", got, tc.plain)
			}
			agree(t, []byte(tc.body))
		})
	}
}

// agree checks that the quick pass finds what the decoder finds, wherever it finds
// anything at all.
func agree(t interface {
	Helper()
	Fatalf(string, ...any)
}, body []byte) {
	t.Helper()
	var got envelope
	if !got.skim(body) {
		return
	}
	if !jsontext.Value(body).IsValid(jsontext.AllowDuplicateNames(true)) {
		t.Fatalf("taken for JSON: %q", body)
	}
	want, err := decodeEnvelope(body)
	if err != nil {
		t.Fatalf("%q: the decoder: %v", body, err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(envelope{}, gap{}), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%q: %s", body, diff)
	}
}

// metas holds what a Meta may look like.
const metas = `{"Meta":{"DataModel":"Order","EventType":null,"Test":false,"Source":{"Name":"x","ID":""},` +
	`"Destinations":[{"ID":"a"},{"Name":"b"},{"ID":"","Name":null},{},null,7],"Logs":[{"ID":"l","AttemptID":null},{"ID":4}]},"Errors2":[]}`

// Messages and answers with a little damage.
func TestSkim_AgreesWithTheDecoder(t *testing.T) {
	t.Parallel()
	pieces := []string{`{`, `}`, `[`, `]`, `,`, `:`, `"`, `\`, `"Meta"`, `"Source"`, `"ID"`, `"x"`, `\u004d`, `\ud800`, ` `, "\n", `1`, `-`, `.5`, `e9`, `true`, `null`, "é", "\xff", "\x00"}
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.SampledFrom([]string{event, accepted, metas}).Draw(t, "body")
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			at := rapid.IntRange(0, len(body)).Draw(t, "at")
			cut := rapid.IntRange(0, min(3, len(body)-at)).Draw(t, "cut")
			body = body[:at] + rapid.SampledFrom(pieces).Draw(t, "piece") + body[at+cut:]
		}
		agree(t, []byte(body))
	})
}

func FuzzSkim(f *testing.F) {
	for _, body := range []string{
		event, sized(3_000), `{"Meta":{}}`, `{"a":"\u00e9\ud83d\ude00é","Meta":{"Source":{"ID":""}},"b":[-0.1e-5,{}]}`,
		"{\"a\":\"M\xfcller\",\"Meta\":{}}", `{"Meta":{},"Meta":{}}`, `{"Meta":{"Test":true,"Test":false}}`,
		accepted, metas, metaErrors, `{"Meta":{"Source":null,"Destinations":null}}`, `{"Meta":{"Source":{}}}`, `{"Meta":{"Destinations":[{"ID":`, `{"Meta":{"Destinations":[`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { agree(t, body) })
}

func BenchmarkSkim(b *testing.B) {
	for _, size := range []int{1_000, 20_000} {
		body := []byte(sized(size))
		b.Run(fmt.Sprintf("%dKB", size/1000), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if e := (envelope{}); !e.skim(body) {
					b.Fatal("not found")
				}
			}
		})
	}
}
