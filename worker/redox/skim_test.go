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

func TestFindMeta(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body, want string // want "" means: left to the decoder
	}{
		"alone":                 {`{"Meta":{}}`, `{}`},
		"first":                 {`{"Meta":{"A":[1]},"B":2}`, `{"A":[1]}`},
		"last":                  {`{"B":{"Meta":{"x":1}},"Meta":{"A":1}}`, `{"A":1}`},
		"white space":           {" {\n\t\"Meta\" :\r{ } , \"B\" : [ ] } ", `{ }`},
		"values of all kinds":   {`{"a":[true,false,null,-0.5e+7,0,"",{},[]],"Meta":{}}`, `{}`},
		"long strings":          {`{"a":"` + strings.Repeat("plain ", 99) + `","Meta":{}}`, `{}`},
		"strings of all sizes":  {`{"a":["1","22","333","4444","55555","666666","7777777","88888888"],"Meta":{}}`, `{}`},
		"text in other scripts": {`{"a":"Müller, 山田 😀","Meta":{}}`, `{}`},
		"escapes in a value":    {`{"a":"\"\\\/\b\f\n\r\t\u00e9","Meta":{}}`, `{}`},
		"names twice elsewhere": {`{"a":1,"a":2,"Meta":{}}`, `{}`},

		"nothing":                  {``, ``},
		"no object":                {`[{"Meta":{}}]`, ``},
		"no Meta":                  {`{"a":1}`, ``},
		"empty":                    {`{}`, ``},
		"Meta twice":               {`{"Meta":{},"Meta":{}}`, ``},
		"Meta is no object":        {`{"Meta":[]}`, ``},
		"Meta escaped":             {`{"\u004deta":{}}`, ``},
		"a name escaped":           {`{"\u0061":1,"Meta":{}}`, ``},
		"surrogates":               {`{"a":"\ud83d\ude00","Meta":{}}`, ``},
		"deep":                     {`{"a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `,"Meta":{}}`, ``},
		"truncated":                {`{"Meta":{}`, ``},
		"trailing text":            {`{"Meta":{}}x`, ``},
		"trailing comma":           {`{"Meta":{},}`, ``},
		"trailing comma in array":  {`{"Meta":{},"a":[1,]}`, ``},
		"trailing comma in object": {`{"Meta":{},"a":{"b":1,}}`, ``},
		"no comma":                 {`{"Meta":{} "a":1}`, ``},
		"no colon":                 {`{"Meta" {}}`, ``},
		"bare name":                {`{Meta:{}}`, ``},
		"leading zero":             {`{"Meta":{},"a":01}`, ``},
		"plus":                     {`{"Meta":{},"a":+1}`, ``},
		"point without digits":     {`{"Meta":{},"a":1.}`, ``},
		"exponent without digits":  {`{"Meta":{},"a":1e}`, ``},
		"minus alone":              {`{"Meta":{},"a":-}`, ``},
		"literal cut":              {`{"Meta":{},"a":tru}`, ``},
		"control character":        {"{\"Meta\":{},\"a\":\"12345678\x01\"}", ``},
		"Latin-1":                  {"{\"Meta\":{},\"a\":\"M\xfcller\"}", ``},
		"bad escape":               {`{"Meta":{},"a":"\x"}`, ``},
		"bad unicode escape":       {`{"Meta":{},"a":"\u12g4"}`, ``},
		"escape cut":               {`{"Meta":{},"a":"\u12`, ``},
		"string cut":               {`{"Meta":{},"a":"12345678`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start, end, ok := findMeta([]byte(tc.body))
			if got := tc.body[start:end]; ok != (tc.want != "") || ok && got != tc.want {
				t.Errorf("%q, %v; want %q", got, ok, tc.want)
			}
		})
	}
}

// Every byte at every place of a word.
func TestPlainBytes(t *testing.T) {
	t.Parallel()
	for c := range 0x80 {
		if c == '\\' {
			continue // escapes and UTF-8: the table and the fuzz test
		}
		for at := range 8 {
			body := []byte(`"~~~~~~~~~~~~~~~"`)
			body[1+at] = byte(c)
			want := len(body)
			switch {
			case c < ' ':
				want = failed
			case c == '"':
				want = at + 2
			}
			if got := skipString(body, 0); got != want {
				t.Errorf("byte %#x at %d: %d, want %d", c, at, got, want)
			}
		}
	}
}

// agree checks that the quick pass finds what the decoder finds, wherever it finds
// anything at all.
func agree(t interface {
	Helper()
	Fatalf(string, ...any)
}, body []byte) {
	t.Helper()
	start, end, ok := findMeta(body)
	if !ok {
		return
	}
	if !jsontext.Value(body).IsValid(jsontext.AllowDuplicateNames(true)) {
		t.Fatalf("taken for JSON: %q", body)
	}
	got, gotErr := readMetaAt(body, start, end)
	want, wantErr := decodeEnvelope(body)
	if (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error() {
		t.Fatalf("%q: %v, the decoder: %v", body, gotErr, wantErr)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(envelope{}, gap{}), cmpopts.EquateEmpty()); gotErr == nil && diff != "" {
		t.Fatalf("%q: %s", body, diff)
	}
}

// Messages with a little damage.
func TestFindMeta_AgreesWithTheDecoder(t *testing.T) {
	t.Parallel()
	pieces := []string{`{`, `}`, `[`, `]`, `,`, `:`, `"`, `\`, `"Meta"`, `"Source"`, `"ID"`, `"x"`, `\u004d`, `\ud800`, ` `, "\n", `1`, `-`, `.5`, `e9`, `true`, `null`, "é", "\xff", "\x00"}
	rapid.Check(t, func(t *rapid.T) {
		body := event
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			at := rapid.IntRange(0, len(body)).Draw(t, "at")
			cut := rapid.IntRange(0, min(3, len(body)-at)).Draw(t, "cut")
			body = body[:at] + rapid.SampledFrom(pieces).Draw(t, "piece") + body[at+cut:]
		}
		agree(t, []byte(body))
	})
}

func FuzzFindMeta(f *testing.F) {
	for _, body := range []string{
		event, sized(3_000), `{"Meta":{}}`, `{"a":"\u00e9\ud83d\ude00é","Meta":{"Source":{"ID":""}},"b":[-0.1e-5,{}]}`,
		"{\"a\":\"M\xfcller\",\"Meta\":{}}", `{"Meta":{},"Meta":{}}`, `{"Meta":{"Test":true,"Test":false}}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { agree(t, body) })
}

func BenchmarkFindMeta(b *testing.B) {
	for _, size := range []int{1_000, 20_000} {
		body := []byte(sized(size))
		b.Run(fmt.Sprintf("%dKB", size/1000), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, _, ok := findMeta(body); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}
