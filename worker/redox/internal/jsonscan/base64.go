package jsonscan

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
)

var errNotASCII = errors.New("an escape stands for no ASCII character")

// Embedded is a file in base64 inside a JSON string. It is read where it lies: nothing of
// it is copied but what is on its way.
type Embedded struct {
	Raw     []byte // of the string, without its quotes
	Size    int64  // of the file
	escaped bool   // raw has JSON escapes: "\/" is common, "\n" and "\u002b" occur
	padded  bool
}

// Measure reports whether raw, the inside of a JSON string, is a file in base64 (RFC 4648,
// section 4), with or without padding and line breaks, and how long the file is.
func Measure(raw []byte) (e Embedded, ok bool) {
	e = Embedded{Raw: raw, escaped: bytes.IndexByte(raw, '\\') >= 0}
	digits, padding := int64(0), 0
	count := func(text []byte) bool {
		for _, c := range text {
			switch {
			case base64Digit[c] && padding == 0:
				digits++
			case c == '=' && padding < 2:
				padding++
			case c == '\n' || c == '\r':
			default:
				return false
			}
		}
		return true
	}
	if !e.escaped {
		ok = count(raw)
	} else {
		u := unescaper{raw: raw}
		var b [4 << 10]byte
		for ok = true; ok; {
			n, err := u.Read(b[:])
			ok = count(b[:n])
			if err != nil {
				ok = ok && errors.Is(err, io.EOF)
				break
			}
		}
	}
	e.padded = padding > 0
	if rest := digits % 4; rest == 1 || e.padded && int(rest)+padding != 4 {
		return e, false
	}
	e.Size = digits * 3 / 4
	return e, ok && digits > 0
}

// base64Digit are the digits of the standard alphabet.
var base64Digit = func() (is [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		is[c] = true
	}
	return is
}()

// Open reads the file from its start.
func (e Embedded) Open() io.Reader {
	var text io.Reader = bytes.NewReader(e.Raw)
	if e.escaped {
		text = &unescaper{raw: e.Raw}
	}
	encoding := base64.StdEncoding
	if !e.padded {
		encoding = base64.RawStdEncoding
	}
	return base64.NewDecoder(encoding, text)
}

// unescaper reads what the inside of a JSON string says, as far as it is ASCII.
type unescaper struct{ raw []byte }

// Read implements [io.Reader].
func (u *unescaper) Read(p []byte) (n int, err error) {
	for n < len(p) && len(u.raw) > 0 {
		if u.raw[0] != '\\' {
			plain := u.raw
			if i := bytes.IndexByte(plain, '\\'); i >= 0 {
				plain = plain[:i]
			}
			copied := copy(p[n:], plain)
			n, u.raw = n+copied, u.raw[copied:]
			continue
		}
		c, size := unescape(u.raw)
		if size == 0 {
			return n, errNotASCII
		}
		p[n], u.raw = c, u.raw[size:]
		n++
	}
	if n == 0 && len(u.raw) == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// unescape reads one escape at the start of raw; size is 0 when it is none that stands
// for an ASCII character.
func unescape(raw []byte) (c byte, size int) {
	if len(raw) < 2 {
		return 0, 0
	}
	switch raw[1] {
	case '/', '\\', '"':
		return raw[1], 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		if len(raw) < 6 || raw[2] != '0' || raw[3] != '0' || !IsHex(raw[4]) || !IsHex(raw[5]) {
			return 0, 0
		}
		if c = hexValue(raw[4])<<4 | hexValue(raw[5]); c < 0x80 {
			return c, 6
		}
	}
	return 0, 0
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return (c | 0x20) - 'a' + 10
}
