package redox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"

	"github.com/redoxworker/redoxworker/auth/httpanswer"
)

const (
	// firstRead is the first buffer for an answer of unknown length; most answers are a
	// few hundred bytes.
	firstRead = 1 << 10
	// freeAnswer is how much of an answer is kept without a question about room.
	freeAnswer = 64 << 10
	// drainBytes is read and thrown away behind the limit, so that the connection can be
	// kept; beyond that a new one is cheaper.
	drainBytes = 64 << 10
)

var (
	errOverLimit = errors.New("over the limit")
	errCrowded   = errors.New("there is no room in memory")
)

// takeIn reads the body of an answer and keeps it, or what it says: nobody gets the answer
// to a SEND without a reply subject.
func (c *Client) takeIn(ctx context.Context, out *call, response *http.Response) {
	if len(response.Header["Content-Encoding"]) == 0 {
		_ = c.takeBody(ctx, out, response.Body, response)
		return
	}
	raw := &begin{Reader: response.Body}
	// Some gateways compress what nobody asked to be: errors must not hide behind it.
	content, _, coding := httpanswer.Decode(response.Header, raw)
	if coding == nil {
		coding = c.takeBody(ctx, out, content, response)
	}
	if coding == nil {
		return
	}
	// What is not what it says to be stays as it is.
	if raw.whole() {
		_ = c.takeBody(ctx, out, io.MultiReader(bytes.NewReader(raw.bytes), response.Body), response)
	}
	if r := &out.reply; r.flaw == "" && r.size > 0 {
		r.flaw = "the answer is compressed and cannot be read"
	}
}

// takeBody takes in what body brings. The error says that its coding is broken.
func (c *Client) takeBody(ctx context.Context, out *call, body io.Reader, response *http.Response) error {
	r, limit, length := &out.reply, c.maxAnswer(out), response.ContentLength
	if len(response.Header["Content-Encoding"]) > 0 {
		length = -1
	}
	kept, err := readBounded(body, length, limit, c.roomFor(ctx, out))
	r.Body, r.size, r.flaw, r.skimmed = kept, int64(len(kept)), "", nil
	if errors.Is(err, errCrowded) && !out.request {
		err = r.skim(io.MultiReader(bytes.NewReader(kept), body), limit)
		if out.replies {
			r.flaw = "the answer is too large for the memory that is free, and is not passed on"
		}
	}
	switch cause := context.Cause(ctx); {
	case err == nil:
	case errors.Is(err, httpanswer.ErrCoding):
		return err
	case errors.Is(err, errOverLimit):
		r.flaw = "the answer is over the limit of " + strconv.FormatInt(limit, 10) + " bytes and was cut"
		_, _ = io.CopyN(io.Discard, response.Body, drainBytes)
	case errors.Is(err, errCrowded):
		r.flaw, r.cut = "the answer was not read to its end", err
	default:
		r.flaw = "the answer ended early"
		if cause != nil && !errors.Is(cause, ErrTimeout) {
			r.cut = cause
		}
	}
	return nil
}

// begin remembers what was read first of a body.
type begin struct {
	io.Reader
	bytes []byte // no more than freeAnswer
	more  bool   // than that was read
}

func (b *begin) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if room := freeAnswer - len(b.bytes); n > room {
		b.more, b.bytes = true, nil
	}
	if !b.more {
		b.bytes = append(b.bytes, p[:n]...)
	}
	return n, err
}

// whole reports whether all that was read is there.
func (b *begin) whole() bool { return !b.more }

// maxAnswer bounds what is read of the answer.
func (c *Client) maxAnswer(out *call) int64 {
	limit := c.cfg.MaxAnswer
	if limit < 0 {
		limit = math.MaxInt64
	}
	if !out.request && c.cfg.MaxSendAnswer >= 0 {
		limit = min(limit, c.cfg.MaxSendAnswer)
	}
	return limit
}

// roomFor is asked before more of the answer is kept.
func (c *Client) roomFor(ctx context.Context, out *call) func(int64) error {
	return func(more int64) error {
		switch {
		case !out.replies:
			return errCrowded
		case c.cfg.Room == nil || c.cfg.Room(ctx, more, out.request) == nil:
			return nil
		case context.Cause(ctx) != nil && !errors.Is(context.Cause(ctx), ErrTimeout):
			return context.Cause(ctx)
		}
		return errCrowded
	}
}

// readBounded reads up to limit bytes. It returns what it has with every error. Before it
// keeps more than freeAnswer it asks for room, by how much its buffer grows.
func readBounded(body io.Reader, length, limit int64, room func(int64) error) ([]byte, error) {
	size := int64(firstRead)
	if length >= 0 {
		size = min(length+1, freeAnswer) // one more, to see the end without growing
	}
	b := make([]byte, 0, min(size, max(limit, 1)))
	for {
		free := b[len(b):cap(b)]
		if left := limit - int64(len(b)); int64(len(free)) > left {
			free = free[:left]
		}
		if len(free) == 0 { // at the limit: is there more?
			var one [1]byte
			n, err := io.ReadFull(body, one[:])
			if n == 1 {
				return b, errOverLimit
			}
			return b, endOfBody(err)
		}
		n, err := body.Read(free)
		b = b[:len(b)+n]
		if err != nil {
			return b, endOfBody(err)
		}
		if len(b) < cap(b) || int64(len(b)) >= limit {
			continue
		}
		have, next := int64(cap(b)), grown(int64(cap(b)), length, limit)
		if more := next - max(have, freeAnswer); more > 0 && room != nil {
			if err := room(more); err != nil {
				return b, err
			}
		}
		b = append(make([]byte, 0, next), b...)
	}
}

// grown is the size of the buffer after a full one. A length that the other side gave is
// believed once a quarter of it is there.
func grown(size, length, limit int64) int64 {
	next := 2 * size
	if length >= size && length/4 <= size {
		next = length + 1
	}
	if size < freeAnswer {
		next = min(next, freeAnswer)
	}
	return min(next, limit)
}

func endOfBody(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
