package httpanswer

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"
)

// maxCodings bounds how often an answer may be compressed.
const maxCodings = 4

var (
	// ErrUnknownCoding is returned for a Content-Encoding that is not gzip, x-gzip, deflate
	// or identity, or a list of them.
	ErrUnknownCoding = errors.New("the answer has a content coding that is not known")
	// ErrCoding is returned, with the cause, when content is not what its coding says.
	ErrCoding = errors.New("the answer is not what its content coding says")
)

// Decode returns the content of an answer without its content codings (RFC 9110, 8.4),
// which some gateways apply although nobody asked for them: of a list the last is undone
// first. decodes is false where there is nothing to undo; then content is body itself.
//
// The error is [ErrUnknownCoding], and content is nil. Reading content fails with the errors
// of body as they are, and with [ErrCoding] where body is not what it should be. It takes
// the same memory whatever the size of what comes out, which is for the caller to bound.
func Decode(h http.Header, body io.Reader) (content io.Reader, decodes bool, err error) {
	codings := codings(h)
	if len(codings) > maxCodings {
		return nil, false, ErrUnknownCoding
	}
	for i := len(codings) - 1; i >= 0; i-- {
		d := &decoder{source: &source{Reader: body}}
		d.from = bufio.NewReader(d.source)
		switch codings[i] {
		case "gzip", "x-gzip":
			d.open = func(r *bufio.Reader) (io.Reader, error) { return gzip.NewReader(r) }
		case "deflate":
			d.open = inflate
		default:
			return nil, false, ErrUnknownCoding
		}
		body, decodes = d, true
	}
	return body, decodes, nil
}

// codings are those of an answer, in the order in which they were applied, in lower case.
func codings(h http.Header) (list []string) {
	for _, line := range h.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(line, ",") {
			coding = strings.ToLower(strings.TrimSpace(coding))
			if coding != "" && coding != "identity" {
				list = append(list, coding)
			}
		}
	}
	return list
}

// inflate reads deflate as the standard has it, in the format of zlib, and as some servers
// send it, without (RFC 9110, 8.4.1.2).
func inflate(r *bufio.Reader) (io.Reader, error) {
	head, err := r.Peek(2)
	if err == nil && head[0]&15 == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(r)
	}
	return flate.NewReader(r), nil
}

// source remembers why reading ended, to tell that from what is wrong with what was read.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// decoder undoes one coding. It begins with the first Read.
type decoder struct {
	source *source
	from   *bufio.Reader
	open   func(*bufio.Reader) (io.Reader, error)
	to     io.Reader
	err    error
}

func (d *decoder) Read(p []byte) (int, error) {
	if d.err == nil && d.to == nil {
		if _, d.err = d.from.Peek(1); d.err == nil { // nothing at all is no broken content
			d.to, d.err = d.open(d.from)
		}
		d.err = d.explain(d.err)
	}
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.to.Read(p)
	d.err = d.explain(err)
	return n, d.err
}

// explain tells an end that came early, and any other failure to read, from wrong content.
func (d *decoder) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return io.EOF
	case d.source.err != nil && !errors.Is(d.source.err, io.EOF):
		return d.source.err
	}
	return errors.Join(ErrCoding, err)
}
