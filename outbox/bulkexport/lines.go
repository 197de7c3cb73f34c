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
// keep them so, and do not always say it.
type counter struct {
	r       io.Reader
	kind    Kind
	figures Figures
	open    bool   // the last line has no end yet
	line    []byte // of kind Errors, as far as it was read
}

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
			return nil, fmt.Errorf("unpack it: %w", err)
		}
		c.r = unpacked
	}
	return c, nil
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
		c.end()
		rest = rest[end+1:]
	}
	if errors.Is(err, io.EOF) {
		c.end()
	}
	return n, err
}

// add takes a part of a line.
func (c *counter) add(part []byte) {
	if !c.open && len(bytes.TrimSpace(part)) == 0 {
		return
	}
	c.open = true
	if c.kind == Errors && len(c.line) <= maxIssueLine {
		c.line = append(c.line, part[:min(len(part), maxIssueLine+1-len(c.line))]...)
	}
}

// end ends a line. One without anything in it is none.
func (c *counter) end() {
	if c.open {
		c.figures.Lines++
		if c.kind == Errors && isIssue(c.line) {
			c.figures.Issues++
		}
	}
	c.open, c.line = false, c.line[:0]
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
