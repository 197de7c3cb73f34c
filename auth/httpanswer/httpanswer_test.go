package httpanswer

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const longest = 24 * time.Hour
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "1": time.Second, "120": 2 * time.Minute, "007": 7 * time.Second, " 7 ": 7 * time.Second,
		"120.5": 120*time.Second + 500*time.Millisecond, "2.0": 2 * time.Second, "0.25": 250 * time.Millisecond,
		"86400": longest, "86400.5": longest, "86401": longest, "4294967295": longest, "99999999999999999999": longest,
		"99999999999999999999.5": longest, strings.Repeat("9", 400): longest, strings.Repeat("9", 400) + ".0": longest,
		"-1": 0, "-0.5": 0, "+5": 0, "5s": 0, "soon": 0, "5, 6": 0, "1e3": 0, "0x10": 0, "5.": 0, ".5": 0, "1.2.3": 0, "NaN": 0, "Inf": 0, "1_000": 0,
		"Sun, 01 Mar 2026 12:00:30 GMT":  30 * time.Second,
		"Sunday, 01-Mar-26 12:01:00 GMT": time.Minute,
		"Sun Mar  1 12:02:00 2026":       2 * time.Minute,
		"Sun, 01 Mar 2026 11:59:00 GMT":  0,
		"Sun, 01 Mar 2099 12:00:00 GMT":  longest,
		"Sun, 32 Mar 2026 12:00:00 GMT":  0,
		"2026-03-01T12:00:30Z":           0,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {value}}, noon, longest); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// A date is one of the clock that made it, unless the answer comes out of a cache.
func TestRetryAfter_ByTheOtherClock(t *testing.T) {
	t.Parallel()
	h := http.Header{"Retry-After": {"Sun, 01 Mar 2026 12:00:30 GMT"}, "Date": {"Sun, 01 Mar 2026 12:00:20 GMT"}}
	if got := RetryAfter(h, noon.Add(-time.Hour), time.Hour); got != 10*time.Second {
		t.Error(got)
	}
	h.Set("Age", "300")
	if got := RetryAfter(h, noon, time.Hour); got != 30*time.Second || !Date(h).IsZero() {
		t.Error(got)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "0", "7", "-7", "1e3", "120.5", "99999999999", "Sun, 01 Mar 2026 12:00:30 GMT", "nonsense"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if got := RetryAfter(http.Header{"Retry-After": {value}}, noon, time.Hour); got < 0 || got > time.Hour {
			t.Errorf("%q: %v", value, got)
		}
	})
}

// packed applies codings in their order.
func packed(text string, codings ...string) string {
	for _, coding := range codings {
		var b bytes.Buffer
		var w io.WriteCloser
		switch coding {
		case "gzip":
			w = gzip.NewWriter(&b)
		case "zlib":
			w = zlib.NewWriter(&b)
		case "flate":
			w, _ = flate.NewWriter(&b, flate.BestSpeed)
		}
		_, _ = io.WriteString(w, text)
		_ = w.Close()
		text = b.String()
	}
	return text
}

func TestDecode(t *testing.T) {
	t.Parallel()
	const text = `{"access_token":"abc"}`
	for name, tt := range map[string]struct {
		labels []string
		body   string
		want   string
		err    error
	}{
		"none":                  {nil, text, text, nil},
		"empty":                 {[]string{""}, text, text, nil},
		"identity":              {[]string{"Identity"}, text, text, nil},
		"gzip":                  {[]string{"gzip"}, packed(text, "gzip"), text, nil},
		"GZIP":                  {[]string{"GZIP"}, packed(text, "gzip"), text, nil},
		"x-gzip":                {[]string{"x-gzip"}, packed(text, "gzip"), text, nil},
		"in two parts":          {[]string{"gzip"}, packed(text[:5], "gzip") + packed(text[5:], "gzip"), text, nil},
		"deflate":               {[]string{"deflate"}, packed(text, "zlib"), text, nil},
		"deflate without zlib":  {[]string{"deflate"}, packed(text, "flate"), text, nil},
		"a list":                {[]string{"deflate, gzip"}, packed(text, "zlib", "gzip"), text, nil},
		"two lines":             {[]string{"gzip", "x-gzip"}, packed(text, "gzip", "gzip"), text, nil},
		"a list with identity":  {[]string{"gzip, identity"}, packed(text, "gzip"), text, nil},
		"no body":               {[]string{"gzip"}, "", "", nil},
		"br":                    {[]string{"br"}, "x", "", ErrUnknownCoding},
		"compress":              {[]string{"compress"}, "x", "", ErrUnknownCoding},
		"one of them unknown":   {[]string{"br, gzip"}, packed("x", "gzip"), "", ErrUnknownCoding},
		"too many":              {[]string{"gzip, gzip, gzip, gzip, gzip"}, "x", "", ErrUnknownCoding},
		"not what it says":      {[]string{"gzip"}, text, "", ErrCoding},
		"half of it":            {[]string{"gzip"}, packed(text, "gzip")[:30], "", ErrCoding},
		"the inner one is not":  {[]string{"gzip, gzip"}, packed(text, "gzip"), "", ErrCoding},
		"a damaged checksum":    {[]string{"gzip"}, packed(text, "gzip")[:len(packed(text, "gzip"))-8] + "12345678", "", ErrCoding},
		"damaged zlib":          {[]string{"deflate"}, "\x78\x9cnonsense", "", ErrCoding},
		"nothing but its start": {[]string{"gzip"}, "\x1f", "", ErrCoding},
	} {
		content, decodes, err := Decode(http.Header{"Content-Encoding": tt.labels}, strings.NewReader(tt.body))
		var got []byte
		if err == nil {
			got, err = io.ReadAll(content)
		}
		if !errors.Is(err, tt.err) || err == nil && string(got) != tt.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if decodes != (tt.want != tt.body) && tt.err == nil && tt.body != "" {
			t.Errorf("%s: decodes %v", name, decodes)
		}
	}
}

// What breaks while it is read is no wrong content.
func TestDecode_ABrokenConnection(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, labels := range []string{"gzip", "deflate", "gzip, gzip"} {
		body := io.MultiReader(strings.NewReader(packed(strings.Repeat("x", 1000), "gzip")[:15]), iotest.ErrReader(boom))
		content, _, err := Decode(http.Header{"Content-Encoding": {labels}}, body)
		if err == nil {
			_, err = io.ReadAll(content)
		}
		if labels != "deflate" && (!errors.Is(err, boom) || errors.Is(err, ErrCoding)) {
			t.Errorf("%s: %v", labels, err)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	const text = `{"a":"Müller"}`
	le, be := func(mark bool) string { return wide(text, true, mark) }, func(mark bool) string { return wide(text, false, mark) }
	latin := strings.ReplaceAll(text, "ü", "\xfc")
	for name, tt := range map[string]struct{ contentType, content, want string }{
		"plain":                      {"application/json", text, text},
		"no label":                   {"", text, text},
		"labelled":                   {"application/json; charset=UTF-8", text, text},
		"quoted":                     {`application/json; charset="utf-8"`, text, text},
		"mark":                       {"application/json", "\xef\xbb\xbf" + text, text},
		"mark, another label":        {"application/json; charset=iso-8859-1", "\xef\xbb\xbf" + text, text},
		"utf-16, little, mark":       {"application/json", le(true), text},
		"utf-16, big, mark":          {"application/json; charset=utf-8", be(true), text},
		"utf-16, little, no mark":    {"application/json; charset=utf-16", le(false), text},
		"utf-16le":                   {"application/json; charset=UTF-16LE", le(false), text},
		"utf-16be, no label":         {"", be(false), text},
		"latin1":                     {"application/json; charset=ISO-8859-1", latin, text},
		"windows-1252":               {"application/json;charset=windows-1252", latin, text},
		"latin1, and is UTF-8":       {"application/json; charset=latin1", text, text},
		"latin1 without a label":     {"application/json", latin, latin},
		"unknown":                    {"application/json; charset=klingon", text, text},
		"a label that is none":       {"application/json; charset", text, text},
		"empty":                      {"application/json; charset=utf-16", "", ""},
		"half a character of utf-16": {"text/plain; charset=utf-16be", "\x00a\x00", "a"},
	} {
		if got := Text(tt.contentType, []byte(tt.content)); string(got) != tt.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// wide is a text of characters below U+10000 in UTF-16.
func wide(text string, little, mark bool) string {
	var b strings.Builder
	if mark {
		text = "\ufeff" + text
	}
	for _, r := range text {
		if little {
			b.WriteString(string([]byte{byte(r), byte(r >> 8)}))
		} else {
			b.WriteString(string([]byte{byte(r >> 8), byte(r)}))
		}
	}
	return b.String()
}
