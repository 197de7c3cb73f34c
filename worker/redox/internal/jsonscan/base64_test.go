package jsonscan

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestMeasure(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":              "", // no file
		"YQ==":          "a",
		"YQ":            "a",
		"YWI=":          "ab",
		"YWI":           "ab",
		"YWJj":          "abc",
		"YW\nJj\r\n":    "abc",
		"/+8=":          "\xff\xef",
		"YQ=":           "",
		"YQ===":         "",
		"Y":             "",
		"YQ==YQ==":      "",
		"Y Q":           "",
		"_-8=":          "", // the alphabet of URLs
		"https://b/1":   "",
		"YWJj\u00e9":    "",
		"<... base 64>": "",
	} {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		every := `"`
		for _, r := range text { // each character as an escape
			every += `\u` + string("0123456789abcdef"[r>>12&15]) + string("0123456789abcdef"[r>>8&15]) + string("0123456789abcdef"[r>>4&15]) + string("0123456789abcdef"[r&15])
		}
		slashes := strings.ReplaceAll(string(quoted), "/", `\/`) // as PHP writes them
		for _, json := range []string{string(quoted), every + `"`, slashes} {
			e, ok := Measure([]byte(json[1 : len(json)-1]))
			if ok != (want != "") {
				t.Errorf("%s: ok %t", json, ok)
				continue
			}
			if !ok {
				continue
			}
			for range 2 { // each open starts anew
				got, err := io.ReadAll(iotest.OneByteReader(e.Open()))
				if err != nil || string(got) != want || e.Size != int64(len(want)) {
					t.Errorf("%s: %q of %d, %v", json, got, e.Size, err)
				}
			}
		}
	}
}

// FuzzMeasure: what is measured reads whole, has the size that was measured, and is what
// the standard library makes of the string.
func FuzzMeasure(f *testing.F) {
	for _, s := range []string{"YQ==", `Y\u0051==`, `\/\/8=`, `YW\nJj`, `a\`, `\u00`, `\ud83d`, "YQ=", `\t`, "é"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var text string
		if json.Unmarshal([]byte(`"`+string(raw)+`"`), &text) != nil {
			return // the inside of no JSON string; measure only must not panic
		}
		e, ok := Measure(raw)
		want, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			want, err = base64.RawStdEncoding.DecodeString(text)
		}
		if ok != (err == nil && len(want) > 0) {
			t.Fatalf("%q: ok %t, the library says %v and %d bytes", raw, ok, err, len(want))
		}
		if !ok {
			return
		}
		got, err := io.ReadAll(e.Open())
		if err != nil || !bytes.Equal(got, want) || int64(len(got)) != e.Size {
			t.Fatalf("%q: %q of %d, %v; want %q", raw, got, e.Size, err, want)
		}
	})
}
