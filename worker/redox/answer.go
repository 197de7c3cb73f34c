package redox

import (
	"context"
	"net/http"
	"time"

	"github.com/redoxworker/redoxworker/auth/httpanswer"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

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
	r.Header = outbox.AnswerHeader(response.Header)
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
