package httpanswer

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// WithoutMark is a text without the byte order mark of UTF-8, which is no part of it (RFC
// 8259, 8.1). It shares memory with text.
func WithoutMark(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) }

// Text is the content of an answer in UTF-8 without a byte order mark. A mark counts first,
// then what the bytes show by themselves, then the charset of contentType, a Content-Type
// header: UTF-16 and Latin-1 are converted, everything else stays as it is. It shares
// memory with content unless something had to be converted.
func Text(contentType string, content []byte) []byte {
	charset := charsetOf(contentType)
	switch {
	case bytes.HasPrefix(content, []byte("\xef\xbb\xbf")):
		return content[3:]
	case bytes.HasPrefix(content, []byte("\xff\xfe")):
		return fromUTF16(content[2:], true)
	case bytes.HasPrefix(content, []byte("\xfe\xff")):
		return fromUTF16(content[2:], false)
	case len(content) >= 2 && (content[0] == 0) != (content[1] == 0): // ASCII, of which JSON and XML begin
		return fromUTF16(content, content[1] == 0)
	case charset == "utf-16le":
		return fromUTF16(content, true)
	case charset == "utf-16", charset == "utf-16be": // RFC 2781, 4.3
		return fromUTF16(content, false)
	case latin1[charset] && !utf8.Valid(content):
		return fromLatin1(content)
	}
	return content
}

// latin1 are charsets that agree with Latin-1 as far as anybody here looks.
var latin1 = map[string]bool{"iso-8859-1": true, "iso8859-1": true, "latin1": true, "windows-1252": true, "cp1252": true}

func charsetOf(contentType string) string {
	if contentType == "" {
		return ""
	}
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return strings.ToLower(strings.Trim(params["charset"], `'" `))
}

func fromUTF16(b []byte, little bool) []byte {
	units := make([]uint16, len(b)/2)
	for i := range units {
		first, second := uint16(b[2*i]), uint16(b[2*i+1])
		if little {
			first, second = second, first
		}
		units[i] = first<<8 | second
	}
	text := make([]byte, 0, len(units))
	for _, r := range utf16.Decode(units) {
		text = utf8.AppendRune(text, r)
	}
	return text
}

func fromLatin1(b []byte) []byte {
	text := make([]byte, 0, len(b)+len(b)/8)
	for _, c := range b {
		text = utf8.AppendRune(text, rune(c))
	}
	return text
}
