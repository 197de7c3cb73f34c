package bulkexport

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxIssueLine bounds a line of a file of kind Errors that is looked into; longer ones count as an error.
const maxIssueLine = 1 << 20

// counter reads a file and counts what passes. A file that is packed with gzip is unpacked: servers
// keep them so, and do not always say it. Each line of a file must be one JSON object, so that a page
// of a gateway, or a file that broke off unnoticed, is not taken for one; those of kind Errors may be
// anything, which counts as an error.
type counter struct {
	r       io.Reader
	kind    Kind
	figures Figures
	open    bool   // the last line has no end yet
	line    []byte // of kind Errors, as far as it was read
	object  object // that the line should be
	err     error  // what is wrong with a line
}

// errCut is the error of a file that ends within a line.
var errCut = errors.New("it broke off within a line")

// newCounter reads the first bytes of r.
func newCounter(r io.Reader, kind Kind) (*counter, error) {
	b := bufio.NewReaderSize(r, 32<<10)
	c := &counter{r: b, kind: kind}
	magic, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(b)
		if err != nil {
			return nil, unpacking(err)
		}
		c.r = packed{unpacked}
	}
	return c, nil
}

// packed is what is unpacked.
type packed struct{ *gzip.Reader }

func (p packed) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = unpacking(err)
	}
	return n, err
}

// unpacking is the error of what cannot be unpacked. A file that ends too early may come whole another
// time.
func unpacking(err error) error {
	err = fmt.Errorf("unpack it: %w", err)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return passing{err}
	}
	return err
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.figures.Bytes += int64(n)
	for rest := p[:n]; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			c.add(rest)
			break
		}
		c.add(rest[:end])
		c.end(false)
		rest = rest[end+1:]
	}
	if errors.Is(err, io.EOF) {
		c.end(true)
	}
	if c.err != nil {
		return n, c.err
	}
	return n, err
}

// add takes a part of a line.
func (c *counter) add(part []byte) {
	if !c.open && len(bytes.TrimSpace(part)) == 0 {
		return
	}
	c.open = true
	if c.kind != Errors {
		c.object.read(part)
	} else if len(c.line) <= maxIssueLine {
		c.line = append(c.line, part[:min(len(part), maxIssueLine+1-len(c.line))]...)
	}
}

// end ends a line, with the file or before. One without anything in it is none.
func (c *counter) end(file bool) {
	if c.open {
		c.figures.Lines++
		switch {
		case c.kind == Errors:
			if isIssue(c.line) {
				c.figures.Issues++
			}
		case c.object.whole || c.err != nil:
		case file && c.object.depth > 0 && !c.object.other:
			c.err = passing{errCut}
		default:
			c.err = fmt.Errorf("line %d is no JSON object: what the server sent is no NDJSON", c.figures.Lines)
		}
	}
	c.open, c.line, c.object = false, c.line[:0], object{}
}

// object tells of a line whether it is one JSON object, by its brackets.
type object struct {
	depth           int
	quoted, escaped bool
	whole, other    bool // it has come to its end; it is, or has besides, something else
}

// read takes a part of the line.
func (o *object) read(part []byte) {
	for i := 0; i < len(part) && !o.other; i++ {
		if o.quoted && !o.escaped { // the most of it
			for i < len(part) && part[i] != '"' && part[i] != '\\' {
				i++
			}
			if i == len(part) {
				return
			}
		}
		switch b := part[i]; {
		case o.escaped:
			o.escaped = false
		case o.quoted:
			o.escaped, o.quoted = b == '\\', b != '"'
		case b == '"' && o.depth > 0:
			o.quoted = true
		case b == ' ', b == '\t', b == '\r', o.depth == 0 && !o.whole && (b == 0xef || b == 0xbb || b == 0xbf): // a byte order mark
		case o.depth == 0 && (b != '{' || o.whole):
			o.whole, o.other = false, true
		case b == '{', b == '[':
			o.depth++
		case b == '}', b == ']':
			o.depth--
			o.whole = o.depth == 0
		}
	}
}

// isIssue reports whether a line of a file of kind Errors tells of an error: one that has no issue of a
// lesser severity does.
func isIssue(line []byte) bool {
	var outcome struct {
		Issue []struct {
			Severity string `json:"severity"`
		} `json:"issue"`
	}
	if len(line) > maxIssueLine || json.Unmarshal(line, &outcome) != nil || len(outcome.Issue) == 0 {
		return true
	}
	for _, issue := range outcome.Issue {
		if issue.Severity != "warning" && issue.Severity != "information" && issue.Severity != "success" {
			return true
		}
	}
	return false
}

// count reads a file that is there, to its end.
func count(r io.Reader, kind Kind) (Figures, error) {
	c, err := newCounter(r, kind)
	if err != nil {
		return Figures{}, err
	}
	_, err = io.Copy(io.Discard, c)
	return c.figures, err
}
