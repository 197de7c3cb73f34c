package answer

import (
	"bufio"
	"errors"
	"io"

	"github.com/redoxworker/redoxworker/auth/httpanswer"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// FindPassing reads what an answer of up to limit bytes says, and does not keep it. It answers
// how many bytes there were. The errors are those of [ReadBounded].
func FindPassing(body io.Reader, limit int64) (Findings, int64, error) {
	whole := &bounded{source: body, left: limit}
	text := bufio.NewReaderSize(whole, 4<<10)
	mark, _ := text.Peek(len("\ufeff"))
	_, _ = text.Discard(len(mark) - len(httpanswer.WithoutMark(mark)))
	var found Findings
	head, _ := text.Peek(longestStart)
	found.begin(head)
	found.read(jsonscan.ScanPassing(&shortened{source: text}, jsonscan.LenientJSON...))
	_, _ = io.Copy(io.Discard, text) // where it is no JSON
	return found, limit - whole.left, whole.err
}

// longestStart is how much of a text is looked at to see how it begins.
const longestStart = 512

// bounded is a body up to a limit. It notes why it ended, if not by its own end.
type bounded struct {
	source io.Reader
	left   int64
	err    error
}

// Read ends with the body, whatever the reason.
func (b *bounded) Read(p []byte) (int, error) {
	if b.err != nil { // it may be read on
		return 0, io.EOF
	}
	if b.left == 0 {
		var one [1]byte
		if n, err := io.ReadFull(b.source, one[:]); n == 1 {
			b.err = ErrOverLimit
		} else {
			b.err = endOfBody(err)
		}
		return 0, io.EOF
	}
	n, err := b.source.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err, err = err, io.EOF
	}
	return n, err
}

// longString is how much of a JSON string is read of an answer that passes: a decoder keeps a
// string in whole, and what matters is short.
const longString = 4 << 10

// shortened is a JSON text whose long strings are cut.
type shortened struct {
	source   io.Reader
	inside   bool // a string
	escape   int  // bytes that still belong to an escape; -1: the next byte tells
	length   int  // of the string so far, an escape counting as one
	dropping bool
}

// Read reads from the source what is left of it.
func (s *shortened) Read(p []byte) (int, error) {
	for {
		n, err := s.source.Read(p)
		n = s.shorten(p[:n])
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// shorten cuts in place, never within an escape, and answers how much is left.
func (s *shortened) shorten(p []byte) int {
	kept := 0
	for _, c := range p {
		if !s.drops(c) {
			p[kept] = c
			kept++
		}
	}
	return kept
}

// drops reports whether the next byte of the text is left out.
func (s *shortened) drops(c byte) bool {
	switch {
	case !s.inside:
		s.inside, s.length, s.dropping = c == '"', 0, false
	case s.escape < 0:
		s.escape = 0
		if c == 'u' {
			s.escape = 4
		}
	case s.escape > 0:
		s.escape--
	case c == '"':
		s.inside, s.dropping = false, false
	default:
		s.length++
		s.dropping = s.length > longString
		if c == '\\' {
			s.escape = -1
		}
	}
	return s.dropping
}
