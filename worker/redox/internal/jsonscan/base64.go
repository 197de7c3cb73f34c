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
	seen    byte   // classes of the characters
}

// Classes of the characters that base64 is written with.
const (
	upper byte = 1 << iota
	lower
	decimal
	standard // + and /
	urlSafe  // - and _
	blank    // blanks and tabs
	lineEnd
	padding
)

// base64Class is the class of each character; 0 is that of all others.
var base64Class = func() (class [256]byte) {
	for chars, c := range map[string]byte{
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ": upper, "abcdefghijklmnopqrstuvwxyz": lower, "0123456789": decimal,
		"+/": standard, "-_": urlSafe, " \t": blank, "\r\n": lineEnd, "=": padding,
	} {
		for i := range len(chars) {
			class[chars[i]] = c
		}
	}
	return class
}()

// Measure reports whether raw, the inside of a JSON string, is a file in base64, and how long
// the file is: in the alphabet of RFC 4648, section 4, or in that of section 5, but not in both
// at once; with or without padding; with white space anywhere, as the lines of RFC 2045,
// section 6.8, have it.
func Measure(raw []byte) (e Embedded, ok bool) {
	e = Embedded{Raw: raw, escaped: bytes.IndexByte(raw, '\\') >= 0}
	digits, pads := int64(0), 0
	count := func(text []byte) bool {
		for _, c := range text {
			class := base64Class[c]
			switch e.seen |= class; {
			case class&(upper|lower|decimal|standard|urlSafe) != 0 && pads == 0:
				digits++
			case class == padding && pads < 2:
				pads++
			case class&(blank|lineEnd) == 0:
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
	if rest := digits % 4; rest == 1 || pads > 0 && int(rest)+pads != 4 || e.seen&(standard|urlSafe) == standard|urlSafe {
		return e, false
	}
	e.Size = digits * 3 / 4
	return e, ok && digits > 0
}

// Plain reports that nothing but a file in base64 looks like this: in the standard alphabet, with
// capital and small letters and digits, and without blanks. A long text, a list of numbers or a
// sequence of bases may pass for base64, and is not plain.
func (e Embedded) Plain() bool {
	const letters = upper | lower | decimal
	return e.seen&letters == letters && e.seen&(urlSafe|blank) == 0
}

// Open reads the file from its start.
func (e Embedded) Open() io.Reader {
	var text io.Reader = bytes.NewReader(e.Raw)
	if e.escaped {
		text = &unescaper{raw: e.Raw}
	}
	return base64.NewDecoder(base64.RawStdEncoding, bare{text})
}

// bare reads the digits of base64 alone, in the standard alphabet: no white space and no padding.
type bare struct{ text io.Reader }

// Read implements [io.Reader].
func (b bare) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil && len(p) > 0 {
		var all int
		all, err = b.text.Read(p)
		for _, c := range p[:all] {
			switch {
			case base64Class[c]&(blank|lineEnd|padding) != 0:
				continue
			case c == '-':
				c = '+'
			case c == '_':
				c = '/'
			}
			p[n] = c
			n++
		}
	}
	return n, err
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
