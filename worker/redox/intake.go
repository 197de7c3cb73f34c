package redox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/redoxworker/redoxworker/auth/httpanswer"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/answer"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// drainBytes is read and thrown away behind the limit, so that the connection can be
// kept; beyond that a new one is cheaper.
const drainBytes = 64 << 10

var errCrowded = errors.New("there is no room in memory")

// takeIn reads the body of an answer and keeps it, or what it says: nobody gets the answer
// to a SEND without a reply subject.
func (c *Client) takeIn(ctx context.Context, out *call, response *http.Response) {
	if len(response.Header["Content-Encoding"]) == 0 {
		_ = c.takeBody(ctx, out, response.Body, response)
		return
	}
	raw := &answer.Begin{Reader: response.Body}
	// Some gateways compress what nobody asked to be: errors must not hide behind it.
	content, _, coding := httpanswer.Decode(response.Header, raw)
	if coding == nil {
		coding = c.takeBody(ctx, out, content, response)
	}
	if coding == nil {
		return
	}
	// What is not what it says to be stays as it is.
	if raw.Whole() {
		_ = c.takeBody(ctx, out, io.MultiReader(bytes.NewReader(raw.Bytes), response.Body), response)
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
	kept, err := answer.ReadBounded(body, length, limit, c.roomFor(ctx, out))
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
	case errors.Is(err, answer.ErrOverLimit):
		r.flaw = "the answer is over the limit of " + strconv.FormatInt(limit, 10) + " bytes and was cut: raise redox.max_answer." + out.lane()
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

// lane is what the configuration calls the lane of the message.
func (out *call) lane() string {
	if out.request {
		return "request"
	}
	return "send"
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

// find reads what the answer says, unless that was done while it passed.
func (r *reply) find() answer.Findings {
	if r.skimmed != nil {
		return *r.skimmed
	}
	return answer.Find(httpanswer.Text(r.ContentType, r.Body))
}

// skim reads what an answer of up to limit bytes says, and does not keep it. The errors are
// those of [answer.ReadBounded].
func (r *reply) skim(body io.Reader, limit int64) error {
	found, size, err := answer.FindPassing(body, limit)
	r.Body, r.size, r.skimmed = nil, size, &found
	return err
}

// read takes the answer in, within bounds, and closes its body. A body that ends early is
// no error: the status has arrived, and it decides.
func (c *Client) read(ctx context.Context, out *call, response *http.Response) {
	r := &out.reply
	if response.Body == nil { // a RoundTripper of somebody else may do that
		response.Body = http.NoBody
	}
	defer func() { _ = response.Body.Close() }()
	r.Status, r.ContentType = response.StatusCode, response.Header.Get("Content-Type")
	r.retryAfter = httpanswer.RetryAfter(response.Header, time.Now(), maxRetryAfter)
	r.Header = contract.AnswerHeader(response.Header)
	if id := response.Header.Get("Redox-Trace-Id"); jsonscan.IsIdentifier(id) {
		r.traceID = id
	}
	if !validHeaderValue(r.ContentType) {
		r.ContentType = ""
	}
	if r.Status < http.StatusOK { // 101: what follows is not an answer
		return
	}
	c.takeIn(ctx, out, response)
}

// maxRetryAfter is the longest wait that is believed; the worker has its own cap.
const maxRetryAfter = 24 * time.Hour
