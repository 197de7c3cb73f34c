package answer

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// text is JSON with texts of any length, broken or not.
func text(t *rapid.T) string {
	long := rapid.Custom(func(t *rapid.T) string {
		piece := rapid.SampledFrom([]string{`x`, `\"`, `\\`, `\u00e9`, `\ud83d\ude00`, `é`, `\ud83d`, `{`, `}`, `,`, `:`})
		var s strings.Builder
		for range rapid.IntRange(0, 12).Draw(t, "pieces") {
			s.WriteString(strings.Repeat(piece.Draw(t, "piece"), rapid.SampledFrom([]int{1, 2, longString/6 - 1, longString/6 + 1, longString - 1, longString, longString + 1}).Draw(t, "times")))
		}
		return `"` + s.String() + `"`
	})
	value := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{`1`, `null`, `{}`, `[[],{}]`, `{"ID":"l-1"}`, `[{"ID":"l-2","x":[1]},{"ID":7}]`, `[{"Type":"message","Module":"A","Text":` + long.Draw(t, "text") + `}]`,
			`[{"severity":"error","code":"invalid"}]`, `"OperationOutcome"`, `{"Logs":[{"ID":"l-3"}],"Errors":` + long.Draw(t, "error") + `}`, long.Draw(t, "long")}).Draw(t, "value")
	})
	var s strings.Builder
	s.WriteString(`{`)
	for i := range rapid.IntRange(0, 6).Draw(t, "members") {
		if i > 0 {
			s.WriteString(`,`)
		}
		fmt.Fprintf(&s, `%s : %s`, rapid.SampledFrom([]string{`"Meta"`, `"Errors"`, `"issue"`, `"resourceType"`, `"entry"`, `"x"`, `"M\u0065ta"`}).Draw(t, "name"), value.Draw(t, "value"))
	}
	s.WriteString(`}`)
	return s.String()
}

// chunks is a text that comes byte by byte.
func chunks(text string) io.Reader { return iotest.OneByteReader(strings.NewReader(text)) }

// What passes is understood as what is kept.
func TestSkim_AgreesWithWhatIsKept(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		body := text(t)
		body = body[:rapid.SampledFrom([]int{len(body), len(body), len(body) / 2}).Draw(t, "cut")]
		got, size, err := FindPassing(iotest.HalfReader(strings.NewReader(body)), int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		want := decodeFindings([]byte(body))
		if !reflect.DeepEqual(got, want) || size != int64(len(body)) {
			t.Fatalf("%+v, want %+v\n%.300s", got, want, body)
		}
	})
}

// Where a word is longer than what is read of it, its rest decides nothing: also not by being no text.
func TestSkim_OfLongWordsTheRestDecidesNothing(t *testing.T) {
	t.Parallel()
	for _, start := range []string{"", "4", "error", "timeout"} {
		for _, rest := range []string{"", `\ud83d`, `x\ud83d`} {
			word := `"` + start + strings.Repeat("x", longString-len(start)) + rest + `"`
			for _, form := range []string{`{"resourceType":%s,"issue":[{"severity":"error","code":"invalid"}]}`, `{"issues":[{"code":%s,"type":"timeout"}]}`, `{"issues":[{"severity":%s}]}`,
				`{"issues":[{"destinationStatusCode":%s}]}`, `{"entry":[{"response":{"status":%s}}]}`} {
				body := fmt.Sprintf(form, word)
				got, _, err := FindPassing(strings.NewReader(body), int64(len(body)))
				if want := decodeFindings([]byte(body)); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s with %.5s…%s: %+v, want %+v, %v", form, word, rest, got, want, err)
				}
			}
		}
	}
}

// The byte behind the limit is missed, whatever was made of those before it.
func TestSkim_OneByteOverTheLimit(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"Meta":{}}`, `{"Meta":{}}` + "\n", `<html></html>`, strings.Repeat(" ", 5000)} {
		if _, _, err := FindPassing(strings.NewReader(body), int64(len(body)-1)); !errors.Is(err, ErrOverLimit) {
			t.Errorf("%.20q: %v", body, err)
		}
		if _, _, err := FindPassing(strings.NewReader(body), int64(len(body))); err != nil {
			t.Errorf("%.20q: %v", body, err)
		}
	}
}
