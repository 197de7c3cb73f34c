package answer

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// agreed checks that the quick pass finds what the decoder finds, wherever it finds
// anything at all.
func agreed(t interface {
	Helper()
	Fatalf(string, ...any)
}, body []byte) {
	t.Helper()
	var found Findings
	if !found.skim(body) {
		return
	}
	if diff := cmp.Diff(decodeFindings(body), found, cmp.AllowUnexported(Findings{}), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%q: %s", body, diff)
	}
}

// plainMetas holds what the Meta of an answer may look like.
const plainMetas = `{"Meta":{"DataModel":"Order","EventType":null,"Logs":[{"ID":"l","AttemptID":null},{"ID":4}]},"Errors2":[],"x":[-0.1e-5,{}]}`

// Answers with a little damage.
func TestSkimAnswer_AgreesWithTheDecoder(t *testing.T) {
	t.Parallel()
	pieces := []string{`{`, `}`, `[`, `]`, `,`, `:`, `"`, `\`, `"Meta"`, `"Logs"`, `"ID"`, `"x"`, `\u004d`, `\ud800`, ` `, "\n", `1`, `-`, `.5`, `e9`, `true`, `null`, "é", "\xff", "\x00"}
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.SampledFrom([]string{acceptedAnswer, plainMetas}).Draw(t, "body")
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			at := rapid.IntRange(0, len(body)).Draw(t, "at")
			cut := rapid.IntRange(0, min(3, len(body)-at)).Draw(t, "cut")
			body = body[:at] + rapid.SampledFrom(pieces).Draw(t, "piece") + body[at+cut:]
		}
		agreed(t, []byte(body))
	})
}

func FuzzSkimAnswer(f *testing.F) {
	for _, body := range []string{
		acceptedAnswer, plainMetas, inMeta, `{"Meta":{}}`, `{"a":"\u00e9\ud83d\ude00é","Meta":{"Logs":[{"ID":""}]}}`,
		"{\"a\":\"M\xfcller\",\"Meta\":{}}", `{"Meta":{},"Meta":{}}`, `{"Meta":{"Logs":[{"ID":`, `{"Meta":{"Logs":[`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { agreed(t, body) })
}
