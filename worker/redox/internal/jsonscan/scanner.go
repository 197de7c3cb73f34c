package jsonscan

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Scanner walks over one JSON text in place. Values it returns alias the text and stay
// valid as long as the text does: a decoder on a bytes.Buffer neither copies nor changes
// it.
type Scanner struct {
	dec   *jsontext.Decoder
	buf   bytes.Buffer
	Whole []byte // the text
	// passing says that the text is not in memory: what is read is valid until the next
	// is. Names are kept longer, and copied.
	passing bool
}

var (
	scanners = sync.Pool{New: func() any {
		s := new(Scanner)
		s.dec = jsontext.NewDecoder(&s.buf)
		return s
	}}
	// Duplicate names are legal JSON and Redox's business, except where this package
	// reads: see the callers. So are escapes of half a surrogate pair, as programs leave them
	// that cut a text in the middle of an emoji (RFC 8259, 8.2). Bytes that are no UTF-8 are
	// taken in answers, which are read for what can be had, and refused by checkText in messages.
	LenientJSON = jsonOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
)

func jsonOptions(o ...jsontext.Options) []jsontext.Options { return o }

// Scan returns a scanner of text; give it back with Release.
func Scan(text []byte, options ...jsontext.Options) *Scanner {
	s := scanners.Get().(*Scanner)
	s.buf, s.Whole = *bytes.NewBuffer(text), text
	s.dec.Reset(&s.buf, options...)
	return s
}

// ScanPassing returns a scanner of a text that is read once. It is not given back.
func ScanPassing(text io.Reader, options ...jsontext.Options) *Scanner {
	return &Scanner{dec: jsontext.NewDecoder(text, options...), passing: true}
}

// Release lets go of the text, so that the pool does not keep messages alive.
func (s *Scanner) Release() {
	s.buf, s.Whole = bytes.Buffer{}, nil
	s.dec.Reset(&s.buf)
	scanners.Put(s)
}

// Enter reads the start of an object or array.
func (s *Scanner) Enter() error {
	_, err := s.dec.ReadToken()
	return err
}

// Member reads the next name of an object. At the end of the object, which it reads, ok
// is false.
func (s *Scanner) Member() (name jsontext.Value, ok bool, err error) {
	if s.dec.PeekKind() == '}' {
		_, err = s.dec.ReadToken()
		return nil, false, err
	}
	name, err = s.dec.ReadValue()
	if s.passing {
		name = bytes.Clone(name)
	}
	return name, err == nil, err
}

// Element reports whether the array has a next value. It reads the end of the array.
func (s *Scanner) Element() (ok bool, err error) {
	if s.dec.PeekKind() == ']' {
		_, err = s.dec.ReadToken()
		return false, err
	}
	return true, nil
}

// Kind is that of the value that comes next, as [jsontext.Decoder.PeekKind] says.
func (s *Scanner) Kind() jsontext.Kind { return s.dec.PeekKind() }

// Read reads a value of any kind.
func (s *Scanner) Read() (jsontext.Value, error) { return s.dec.ReadValue() }

// Skip reads over a value of any kind.
func (s *Scanner) Skip() error {
	if s.passing {
		return s.dec.SkipValue()
	}
	_, err := s.dec.ReadValue()
	return err
}

// Value reads a value and says where it starts and ends.
func (s *Scanner) Value() (v jsontext.Value, start, end int, err error) {
	v, err = s.dec.ReadValue()
	end = s.Offset()
	return v, end - len(v), end, err
}

// Offset of the end of what was read last.
func (s *Scanner) Offset() int { return int(s.dec.InputOffset()) }

// End reads up to the end of the text and fails if there is more than white space.
func (s *Scanner) End() error {
	if s.dec.PeekKind() != 0 {
		return ErrTrailing
	}
	_, err := s.dec.ReadToken()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// ErrTrailing is returned when there is more than one JSON value.
var ErrTrailing = errors.New("text after the JSON value")

// Each reads an object and calls read for each of its members, which must read the value.
// A value that is no object is read and passed over.
func (s *Scanner) Each(read func(name jsontext.Value) error) error {
	if s.dec.PeekKind() != '{' {
		return s.Skip()
	}
	if err := s.Enter(); err != nil {
		return err
	}
	for {
		name, ok, err := s.Member()
		if err != nil || !ok {
			return err
		}
		if err := read(name); err != nil {
			return err
		}
	}
}

// List reads an array and calls read for each element, which must read it. A value that
// is no array is read and passed over.
func (s *Scanner) List(read func() error) error {
	if s.dec.PeekKind() != '[' {
		return s.Skip()
	}
	if err := s.Enter(); err != nil {
		return err
	}
	for {
		ok, err := s.Element()
		if err != nil || !ok {
			return err
		}
		if err := read(); err != nil {
			return err
		}
	}
}

// Scalar is the text of a string or a number.
func Scalar(v jsontext.Value) string {
	switch v.Kind() {
	case '"':
		return Unquote(v)
	case '0':
		return string(v)
	}
	return ""
}

// Is reports whether the JSON string quoted says plain, however it is escaped. plain
// itself needs no escape.
func Is(quoted jsontext.Value, plain string) bool {
	if len(quoted) == len(plain)+2 {
		return string(quoted[1:len(quoted)-1]) == plain
	}
	return bytes.IndexByte(quoted, '\\') >= 0 && Unquote(quoted) == plain
}

// Unquote returns what a JSON string says.
func Unquote(quoted jsontext.Value) string {
	if bytes.IndexByte(quoted, '\\') < 0 && len(quoted) >= 2 {
		return string(quoted[1 : len(quoted)-1])
	}
	plain, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return ""
	}
	return string(plain)
}

// IsIdentifier reports whether s looks like an identifier that a program made up, and not
// like text or a person's data: 1 to 64 letters, digits, '-', '_' and '.'.
func IsIdentifier(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// IsHex reports whether c is a hexadecimal digit.
func IsHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }
