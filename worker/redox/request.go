package redox

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redox/internal/answer"
	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
)

// call is one request to Redox, whatever its kind; it may go out twice, with two tokens.
type call struct {
	sender   *sender
	message  string    // id, for logs
	deadline time.Time // nothing is sent after it; zero: there is none
	kind     outbox.Kind
	request  bool // a REQUEST: safe to repeat, its answer is the reply
	replies  bool // somebody gets the answer
	method   string
	url      *url.URL
	sourceID []string
	header   http.Header // of the next sending; see authorize
	plain    bool        // header is that of all messages that ask for nothing special
	body     httpwire.Pieces
	stream   *stream // the body instead, when it is not in one piece
	asked    *asked  // notes the hosts of the sendings; nil: nobody wants to know
	harmless bool    // a second one changes nothing for anybody: no outcome is unknown
	bare     bool    // an answer without a body is nothing unusual
	accept   string  // what the message asked for that is not JSON; "" when it is JSON
	names    bool    // the answer is to name a file's URI
	reply    reply   // to the last sending
}

// stream is a body that is made while it is sent.
type stream struct {
	size int64
	open func(context.Context) io.ReadCloser // from the start, once for each sending
}

// media are the Content-Type and Accept of requests whose messages name none.
type media struct{ content, accept []string }

// Header values that requests share. They are never changed.
var (
	jsonType = []string{"application/json"}
	jsonOnly = media{jsonType, jsonType}
)

// header builds what one message's request carries besides the token. Nothing else of
// the message's headers reaches Redox.
//
// The HTTP headers that the message sets are checked against Config.Headers, and never name
// one of those that are built here.
func (c *Client) header(ctx context.Context, m *outbox.Message, sourceID []string, usual media) (http.Header, *Error) {
	h := make(http.Header, 8)
	if sourceID != nil {
		h["Redox-Source-Id"] = sourceID
	}
	h["User-Agent"] = c.userAgent
	for _, f := range [...]struct {
		name, value string
		usual       []string
	}{{"Content-Type", m.ContentType, usual.content}, {"Accept", m.Accept, usual.accept}} {
		switch {
		case f.value == "" && f.usual == nil:
		case f.value == "" || len(f.usual) > 0 && f.value == f.usual[0]:
			h[f.name] = f.usual
		case validHeaderValue(f.value):
			h[f.name] = []string{f.value}
		default:
			return nil, poison(f.name + " has characters that no header may have")
		}
	}
	continueTrace(ctx, m, h)
	return h, c.passOn(m, h)
}

// passOn adds the HTTP headers that a message sets itself.
func (c *Client) passOn(m *outbox.Message, h http.Header) *Error {
	if len(m.Header) == 0 {
		return nil
	}
	if err := (outbox.HeaderPolicy{Allow: c.cfg.Headers}).Check(m.Header); err != nil {
		var broken *outbox.ContractError
		if errors.As(err, &broken) {
			return poison(broken.Part + " " + broken.Reason)
		}
		return poison("it sets a header that no message may set")
	}
	for name, values := range m.Header {
		if len(values) > 0 {
			h[http.CanonicalHeaderKey(name)] = values[:1:1]
		}
	}
	return nil
}

// continueTrace passes the trace context on: that of the span under way, else the
// message's own. A malformed one is dropped, as it must not fail a message.
func continueTrace(ctx context.Context, m *outbox.Message, h http.Header) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
		return
	}
	if m.TraceParent == "" || !validHeaderValue(m.TraceParent) {
		return
	}
	h["Traceparent"] = []string{m.TraceParent}
	if m.TraceState != "" && validHeaderValue(m.TraceState) {
		h["Tracestate"] = []string{m.TraceState}
	}
}

// tokenSpan starts the span of waiting for a token, in that of the attempt, if there is one that is
// kept. What an embedder's tracer panics with is of no concern to the message.
func tokenSpan(ctx context.Context) (with context.Context, end func(failed bool)) {
	with, end = ctx, func(bool) {}
	parent := trace.SpanFromContext(ctx)
	defer func() {
		if recover() != nil {
			with, end = ctx, func(bool) {}
		}
	}()
	if !parent.IsRecording() {
		return with, end
	}
	with, span := parent.TracerProvider().Tracer("github.com/redoxworker/redoxworker/worker/redox").Start(ctx, "redox token")
	return with, func(failed bool) {
		defer func() { _ = recover() }()
		if failed {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// validHeaderValue reports whether net/http would send s (RFC 9110, 5.5).
func validHeaderValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// plainHeader is the header of a source's messages that ask for nothing special, under one
// token. All requests share it, as net/http only reads it.
type plainHeader struct {
	bearer string
	header http.Header
}

// plain reports whether the header of a data-model message is that of the source's other
// messages. Only net/http is known not to change what they share.
func (c *Client) plain(ctx context.Context, s *sender, m *outbox.Message, sourceID []string) bool {
	usual := func(value string) bool { return value == "" || value == jsonType[0] }
	return c.traced && len(m.Header) == 0 && usual(m.ContentType) && usual(m.Accept) && (s.idHeader == nil || &sourceID[0] == &s.idHeader[0]) &&
		m.TraceParent == "" && !trace.SpanContextFromContext(ctx).IsValid()
}

// plainHeader answers the header under a token, made when the token was first seen.
func (c *Client) plainHeader(s *sender, bearer string) http.Header {
	last := s.plain.Load()
	if last == nil || last.bearer != bearer {
		h := http.Header{"User-Agent": c.userAgent, "Content-Type": jsonType, "Accept": jsonType, "Authorization": {"Bearer " + bearer}}
		if s.idHeader != nil {
			h["Redox-Source-Id"] = s.idHeader
		}
		last = &plainHeader{bearer, h}
		s.plain.Store(last)
	}
	return last.header
}

// authorize sets the token of the next sending. A header that was sent is copied first:
// its request may still be under way inside net/http.
func (c *Client) authorize(out *call, bearer string) {
	if out.plain {
		out.header = c.plainHeader(out.sender, bearer)
		return
	}
	if out.header["Authorization"] != nil {
		out.header = maps.Clone(out.header)
	}
	out.header["Authorization"] = []string{"Bearer " + bearer}
}

// newRequest makes the request of one sending. Nothing is parsed: the URL was, once.
// The body has no GetBody, so net/http cannot send it a second time.
func (out *call) newRequest(ctx context.Context, body *httpwire.Parts) *http.Request {
	r := &http.Request{
		Method: out.method, URL: out.url, Host: out.url.Host, Header: out.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: http.NoBody, ContentLength: out.size(),
	}
	switch {
	case out.stream != nil:
		r.Body = out.stream.open(ctx)
	case body != nil:
		r.Body = body
	case out.method == http.MethodGet || out.method == http.MethodHead:
		// With http.NoBody net/http would send it again by itself when a reused connection
		// breaks, although all of it was written. The length is unknown, as for any other
		// body of 0 bytes; identity keeps net/http from sending it in chunks.
		r.Body, r.ContentLength, r.TransferEncoding = nobody{}, -1, []string{"identity"}
		// What a careless server sends after the answer to a HEAD would be found on the
		// idle connection, and quoted in the standard logger.
		r.Close = out.method == http.MethodHead
	}
	return r.WithContext(ctx)
}

// nobody is an empty body that net/http cannot tell from one that it could not send twice.
type nobody struct{}

func (nobody) Read([]byte) (int, error) { return 0, io.EOF }
func (nobody) Close() error             { return nil }

// parts are the body of one sending; nil when there is none, or it is a stream.
func (out *call) parts() *httpwire.Parts {
	if out.stream != nil || out.body.Size() == 0 {
		return nil
	}
	return httpwire.NewParts(&out.body)
}

// size of the body in bytes.
func (out *call) size() int64 {
	if out.stream != nil {
		return out.stream.size
	}
	return out.body.Size()
}

// reply is what came back for one request.
type reply struct {
	outbox.Answer // Status 0: nothing came
	traceID       string
	retryAfter    time.Duration
	flaw          string           // what is wrong with the body, in our own words; "" if nothing is known to be
	cut           error            // the cause when the caller's context ended while the body was read
	size          int64            // of the body, as far as it was read
	skimmed       *answer.Findings // of a body that was not kept; nil: it was
}
