package redox

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
)

// exchange sends out, and once more with a new token if Redox refused the first. On an
// error the reply is what Redox answered before, if it did.
func (c *Client) exchange(ctx context.Context, out *call) *Error {
	bearer, err := c.bearer(ctx, out.sender)
	if err != nil {
		return err
	}
	c.authorize(out, bearer)
	if err := c.send(ctx, out); err != nil || out.reply.Status != http.StatusUnauthorized {
		return err
	}
	out.sender.credentials.Invalidate(bearer)
	// A 401 says that Redox did not take the message: what counts is the second request.
	bearer, err = c.bearer(ctx, out.sender)
	if err != nil {
		err.status = out.reply.Status
		return err
	}
	c.metrics.replays.Inc()
	c.authorize(out, bearer)
	return c.send(ctx, out)
}

// bearer asks for a token. Without one nothing is sent, and the key pauses.
func (c *Client) bearer(ctx context.Context, s *sender) (string, *Error) {
	if err := ctx.Err(); err != nil {
		return "", notSent("the attempt was cancelled before anything was sent", "", context.Cause(ctx))
	}
	asking, end := tokenSpan(ctx)
	bearer, err := s.credentials.Bearer(asking)
	end(err != nil)
	switch {
	case err == nil && bearer != "" && validHeaderValue(bearer):
		return bearer, nil
	case err == nil:
		return "", notSent("the token of key "+s.Key+" is empty or no header value", c.keyScope(s), nil)
	case ctx.Err() != nil:
		return "", notSent("the attempt was cancelled while waiting for a token of key "+s.Key, "", context.Cause(ctx))
	}
	e := notSent("no token for key "+s.Key, c.keyScope(s), err)
	var after interface{ RetryAfter() time.Duration }
	if errors.As(err, &after) {
		e.retryAfter = max(0, after.RetryAfter())
	}
	return "", e
}

// maxStale is how many dead keep-alive connections one request may meet in a row. Each of
// them leaves the pool, so that a fresh dial is near.
const maxStale = 5

// maxUnread is how often one request is sent anew that the other side has not looked at.
const maxUnread = 2

// send has a request granted and makes it.
func (c *Client) send(ctx context.Context, out *call) *Error {
	out.reply = reply{}
	if c.cfg.Grant == nil {
		return c.inTime(ctx, out)
	}
	done, err := c.cfg.Grant(ctx)
	if err != nil {
		return notSent("the attempt ended while it waited for the rate limit", "", err)
	}
	sent := true // so it counts when the transport panics
	if done != nil {
		defer func() { done(sent) }()
	}
	e := c.inTime(ctx, out)
	sent = e == nil || e.written
	return e
}

// inTime writes the request unless the deadline of its message has passed while a token, a
// file or the rate limit was waited for.
func (c *Client) inTime(ctx context.Context, out *call) *Error {
	if !out.deadline.IsZero() && !time.Now().Before(out.deadline) {
		return notSent("its deadline passed before it could be sent", "", nil)
	}
	return c.write(ctx, out)
}

// retries are how often one request is sent anew that nobody has read.
type retries struct{ stale, unread int }

// take reports whether a request that has failed is sent anew.
func (t *retries) take(w *httpwire.Watch, err error) bool {
	switch {
	case w.Unread(err):
		t.unread--
		return t.unread >= 0
	case !w.Reused || w.Written():
		return false
	case !w.Spent:
		t.stale--
	}
	return w.Spent || t.stale >= 0
}

// write writes one request and reads its answer. It writes again only when nothing of it
// was written, because the other side had closed a kept-alive connection, and when the other
// side says over HTTP/2 that it has not looked at it.
func (c *Client) write(ctx context.Context, out *call) *Error {
	var s struct { // one piece of memory
		limit httpwire.TimeLimit
		watch httpwire.Watch
	}
	w, start := &s.watch, time.Now()
	out.asked.note(out.url)
	ctx = c.limits.Begin(ctx, start, &s.limit)
	defer c.limits.Finish(&s.limit)
	for tries := (retries{maxStale, maxUnread}); ; {
		body := out.parts()
		response, err := c.roundTrip(out.newRequest(w.Attach(ctx, body, c.traced, c.net == nil || c.net.Speaks2()), body), w)
		if err == nil && response == nil {
			err = errNoResponse
		}
		if err == nil {
			w.Hear(response)
			c.read(ctx, out, response)
			c.observe(ctx, out, start, w, nil)
			return nil
		}
		if ctx.Err() == nil && tries.take(w, err) {
			w = new(httpwire.Watch) // net/http may still have the first
			continue
		}
		e := c.noAnswer(ctx, out, err, w)
		c.observe(ctx, out, start, w, e)
		return e
	}
}

// roundTrip sends one request through the transport.
func (c *Client) roundTrip(r *http.Request, w *httpwire.Watch) (*http.Response, error) {
	if c.net != nil {
		return c.net.Send(r, w) // the watch does what else it would do
	}
	return c.transport.RoundTrip(r)
}

// errNoResponse is the error of a RoundTripper that returns neither a response nor an error.
var errNoResponse = errors.New("redox: the transport returned nothing")

// observe counts one request and logs it without anything of its content.
func (c *Client) observe(ctx context.Context, out *call, start time.Time, w *httpwire.Watch, e *Error) {
	r, took := &out.reply, time.Since(start)
	c.metrics.observe(r.Status, took, w)
	if !c.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{
		slog.String("source", out.sender.name), slog.String("message_id", out.message),
		slog.Int("status", r.Status), slog.Duration("took", took),
		slog.Bool("connection_reused", w.Reused), slog.Int64("request_bytes", out.size()),
		slog.Int64("answer_bytes", r.size),
	}
	if r.traceID != "" {
		attrs = append(attrs, slog.String("redox_trace_id", r.traceID))
	}
	if e != nil {
		attrs = append(attrs, slog.String("error", e.SafeError()))
	}
	c.log.LogAttrs(ctx, slog.LevelDebug, "request to redox", attrs...)
}
