package jsonscan

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
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
		"Y Q":           "a", // white space anywhere
		" YQ=\t= \r\n":  "a",
		" \n":           "",
		"_-8=":          "\xff\xef", // the alphabet of URLs
		"_-8":           "\xff\xef",
		"/-8=":          "", // both
		"_+8=":          "",
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

// Lines of 76 characters (RFC 2045), in each form of JSON's escapes, and in the other alphabet.
func TestMeasure_Lines(t *testing.T) {
	t.Parallel()
	content := make([]byte, 10_000)
	for i := range content {
		content[i] = byte(i * 7)
	}
	for name, encoding := range map[string]*base64.Encoding{
		"standard": base64.StdEncoding, "raw": base64.RawStdEncoding, "URL": base64.URLEncoding, "raw URL": base64.RawURLEncoding,
	} {
		for _, end := range []string{"", `\n`, `\r\n`, `\u000A`, `\u000d\u000a`, "\\r\\n\\t "} {
			lines := slices.Collect(slices.Chunk([]byte(encoding.EncodeToString(content)), 76))
			text := bytes.Join(append(lines, nil), []byte(end))
			for _, escaped := range [][]byte{text, bytes.ReplaceAll(text, []byte("/"), []byte(`\/`)), bytes.ReplaceAll(text, []byte("+"), []byte(`\u002B`))} {
				e, ok := Measure(escaped)
				if !ok || e.Size != int64(len(content)) {
					t.Fatalf("%s, %q: %t, %d bytes", name, end, ok, e.Size)
				}
				if got, err := io.ReadAll(e.Open()); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s, %q: %d bytes, %v", name, end, len(got), err)
				}
			}
		}
	}
}

func TestEmbedded_Plain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"JVBERi0xLjcKJeLjz9MK": true, "JVBERi0x\\nLjcKJeLj": true,
		"JVBERi0x LjcKJeLj": false, "ACGTACGTACGT": false, "1 2 3 4 -5 67": false, "patientfeelswell": false, "JVBERi0xLj-_": false,
	} {
		if e, ok := Measure([]byte(text)); !ok || e.Plain() != want {
			t.Errorf("%s: %t, plain %t", text, ok, e.Plain())
		}
	}
}

// FuzzMeasure: what is measured reads whole, has the size that was measured, and is what
// the standard library makes of the string.
func FuzzMeasure(f *testing.F) {
	for _, s := range []string{"YQ==", `Y\u0051==`, `\/\/8=`, `YW\nJj`, `a\`, `\u00`, `\ud83d`, "YQ=", `\t`, "é", "_-8=", "/-8=", "Y Q = =", "YQ\\r\\n=="} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var text string
		if json.Unmarshal([]byte(`"`+string(raw)+`"`), &text) != nil {
			return // the inside of no JSON string; measure only must not panic
		}
		e, ok := Measure(raw)
		text = strings.NewReplacer(" ", "", "\t", "").Replace(text) // the library skips the ends of lines itself
		want, err := base64.StdEncoding.DecodeString(text)
		for _, other := range []*base64.Encoding{base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			if err != nil {
				want, err = other.DecodeString(text)
			}
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
