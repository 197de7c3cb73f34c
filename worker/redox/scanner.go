package redox

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// scanner walks over one JSON text in place. Values it returns alias the text and stay
// valid as long as the text does: a decoder on a bytes.Buffer neither copies nor changes
// it.
type scanner struct {
	dec   *jsontext.Decoder
	buf   bytes.Buffer
	whole []byte // the text
	// passing says that the text is not in memory: what is read is valid until the next
	// is. Names are kept longer, and copied.
	passing bool
}

var (
	scanners = sync.Pool{New: func() any {
		s := new(scanner)
		s.dec = jsontext.NewDecoder(&s.buf)
		return s
	}}
	// Duplicate names are legal JSON and Redox's business, except where this package
	// reads: see the callers. So are escapes of half a surrogate pair, as programs leave them
	// that cut a text in the middle of an emoji (RFC 8259, 8.2). Bytes that are no UTF-8 are
	// taken in answers, which are read for what can be had, and refused by checkText in messages.
	lenientJSON = jsonOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
)

func jsonOptions(o ...jsontext.Options) []jsontext.Options { return o }

// scan returns a scanner of text; give it back with release.
func scan(text []byte, options ...jsontext.Options) *scanner {
	s := scanners.Get().(*scanner)
	s.buf, s.whole = *bytes.NewBuffer(text), text
	s.dec.Reset(&s.buf, options...)
	return s
}

// scanPassing returns a scanner of a text that is read once. It is not given back.
func scanPassing(text io.Reader, options ...jsontext.Options) *scanner {
	return &scanner{dec: jsontext.NewDecoder(text, options...), passing: true}
}

// release lets go of the text, so that the pool does not keep messages alive.
func (s *scanner) release() {
	s.buf, s.whole = bytes.Buffer{}, nil
	s.dec.Reset(&s.buf)
	scanners.Put(s)
}

// enter reads the start of an object or array.
func (s *scanner) enter() error {
	_, err := s.dec.ReadToken()
	return err
}

// member reads the next name of an object. At the end of the object, which it reads, ok
// is false.
func (s *scanner) member() (name jsontext.Value, ok bool, err error) {
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

// element reports whether the array has a next value. It reads the end of the array.
func (s *scanner) element() (ok bool, err error) {
	if s.dec.PeekKind() == ']' {
		_, err = s.dec.ReadToken()
		return false, err
	}
	return true, nil
}

// skip reads a value of any kind.
func (s *scanner) skip() error {
	if s.passing {
		return s.dec.SkipValue()
	}
	_, err := s.dec.ReadValue()
	return err
}

// value reads a value and says where it starts and ends.
func (s *scanner) value() (v jsontext.Value, start, end int, err error) {
	v, err = s.dec.ReadValue()
	end = s.offset()
	return v, end - len(v), end, err
}

// offset of the end of what was read last.
func (s *scanner) offset() int { return int(s.dec.InputOffset()) }

// end reads up to the end of the text and fails if there is more than white space.
func (s *scanner) end() error {
	if s.dec.PeekKind() != 0 {
		return errTrailing
	}
	_, err := s.dec.ReadToken()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

var errTrailing = errors.New("text after the JSON value")

// is reports whether the JSON string quoted says plain, however it is escaped. plain
// itself needs no escape.
func is(quoted jsontext.Value, plain string) bool {
	if len(quoted) == len(plain)+2 {
		return string(quoted[1:len(quoted)-1]) == plain
	}
	return bytes.IndexByte(quoted, '\\') >= 0 && unquote(quoted) == plain
}

// unquote returns what a JSON string says.
func unquote(quoted jsontext.Value) string {
	if bytes.IndexByte(quoted, '\\') < 0 && len(quoted) >= 2 {
		return string(quoted[1 : len(quoted)-1])
	}
	plain, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return ""
	}
	return string(plain)
}

// isIdentifier reports whether s looks like an identifier that a program made up, and not
// like text or a person's data: 1 to 64 letters, digits, '-', '_' and '.'.
func isIdentifier(s string) bool {
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
