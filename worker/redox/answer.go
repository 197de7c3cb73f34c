package redox

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/auth/httpanswer"
)

const (
	// firstRead is the first buffer for an answer of unknown length; most answers are a
	// few hundred bytes.
	firstRead = 1 << 10
	// trustedLength is the largest Content-Length that memory is set aside for at once.
	trustedLength = 1 << 20
	// drainBytes is read and thrown away behind the limit, so that the connection can be
	// kept; beyond that a new one is cheaper.
	drainBytes = 64 << 10
)

// read takes the answer in, within bounds, and closes its body. A body that ends early is
// no error: the status has arrived, and it decides.
func (c *Client) read(ctx context.Context, r *reply, response *http.Response) {
	if response.Body == nil { // a RoundTripper of somebody else may do that
		response.Body = http.NoBody
	}
	defer func() { _ = response.Body.Close() }()
	r.Status, r.ContentType = response.StatusCode, response.Header.Get("Content-Type")
	r.retryAfter = httpanswer.RetryAfter(response.Header, time.Now(), maxRetryAfter)
	if id := response.Header.Get("Redox-Trace-Id"); isIdentifier(id) {
		r.traceID = id
	}
	if !validHeaderValue(r.ContentType) {
		r.ContentType = ""
	}
	if r.Status < http.StatusOK { // 101: what follows is not an answer
		return
	}
	limit := c.cfg.MaxAnswer
	if limit < 0 {
		limit = math.MaxInt64
	}
	body, err := readBounded(response.Body, response.ContentLength, limit)
	r.Body = body
	switch {
	case errors.Is(err, errOverLimit):
		r.flaw = overLimit(limit)
		_, _ = io.CopyN(io.Discard, response.Body, drainBytes)
	case err != nil:
		r.flaw = "the answer ended early"
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, ErrTimeout) {
			r.cut = cause
		}
	}
	if coding := response.Header.Get("Content-Encoding"); coding != "" && len(r.Body) > 0 {
		r.unpack(coding, limit)
	}
}

// unpack undoes a compression that nobody asked for, as some gateways do it: errors must not
// hide behind it. What cannot be unpacked stays as it is.
func (r *reply) unpack(coding string, limit int64) {
	switch strings.ToLower(coding) {
	case "identity":
		return
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(bytes.NewReader(r.Body))
		if err != nil {
			break
		}
		body, err := readBounded(z, -1, limit)
		if errors.Is(err, errOverLimit) && r.flaw == "" {
			r.flaw = overLimit(limit)
		}
		if err == nil || r.flaw != "" { // of what came in part, so much
			r.Body = body
			return
		}
	}
	if r.flaw == "" {
		r.flaw = "the answer is compressed and cannot be read"
	}
}

func overLimit(limit int64) string {
	return "the answer is over the limit of " + strconv.FormatInt(limit, 10) + " bytes and was cut"
}

var errOverLimit = errors.New("over the limit")

// readBounded reads up to limit bytes. It returns what it has with every error.
func readBounded(body io.Reader, length, limit int64) ([]byte, error) {
	size := int64(firstRead)
	if length >= 0 {
		size = min(length+1, trustedLength) // one more, to see the end without growing
	}
	b := make([]byte, 0, min(size, max(limit, 1)))
	for {
		room := b[len(b):cap(b)]
		if left := limit - int64(len(b)); int64(len(room)) > left {
			room = room[:left]
		}
		if len(room) == 0 { // at the limit: is there more?
			var one [1]byte
			n, err := io.ReadFull(body, one[:])
			if n == 1 {
				return b, errOverLimit
			}
			return b, endOfBody(err)
		}
		n, err := body.Read(room)
		b = b[:len(b)+n]
		if err != nil {
			return b, endOfBody(err)
		}
		if len(b) == cap(b) && int64(len(b)) < limit {
			b = append(b, 0)[:len(b)]
		}
	}
}

func endOfBody(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// maxRetryAfter is the longest wait that is believed; the worker has its own cap.
const maxRetryAfter = 24 * time.Hour
