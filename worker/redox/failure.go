package redox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
)

// noAnswer classifies a failed RoundTrip.
func (c *Client) noAnswer(ctx context.Context, out *call, err error, w *httpwire.Watch) *Error {
	if alert := w.Refused(err); alert != nil {
		return notSent(connectFailure(alert), hostScope(out.url), alert)
	}
	cause := context.Cause(ctx)
	declined := declines(err) && !declines(cause) && !w.Wrote() // err may be no more than the cause
	refused := w.Unread(err)
	written := w.Written() && !declined && !refused
	e := &Error{class: ClassNoAnswer, written: written, unknown: written && out.decides()}
	switch {
	case errors.Is(cause, ErrTimeout) && written:
		e.match, e.detail = ErrTimeout, "no answer within redox.timeout, "+c.cfg.Timeout.String()
	case errors.Is(cause, ErrTimeout):
		e.match, e.detail = ErrTimeout, "no connection within redox.timeout, "+c.cfg.Timeout.String()
	case cause != nil && written:
		e.cause, e.detail = cause, "the attempt was cancelled before the answer"
	case cause != nil:
		e.cause, e.detail = cause, "the attempt was cancelled before anything was sent"
	case declined:
		return notSentBy(err, hostScope(out.url))
	case written:
		e.cause, e.hidden, e.detail = safeCause(err), err, "the connection broke before the answer"
	case refused:
		e.hidden, e.detail = err, "the other side refused the request over HTTP/2 without looking at it, again and again"
	default:
		e.cause, e.hidden, e.detail = safeCause(err), err, connectFailure(err)
	}
	if written {
		if e.unknown {
			e.detail += "; the outcome is unknown"
		}
		return e
	}
	e.class = ClassNotSent
	if cause == nil || errors.Is(cause, ErrTimeout) {
		e.pauses = hostScope(out.url)
	}
	return e
}

// declines reports whether the error of a RoundTripper says that nothing was sent.
func declines(err error) bool {
	var says interface{ Attempted() bool }
	return errors.As(err, &says) && !says.Attempted()
}

// notSentBy is the error of a request that its RoundTripper did not send. Where err does not
// say what to pause, scope pauses.
func notSentBy(err error, scope string) *Error {
	e := notSent("the transport did not send it", scope, nil)
	e.hidden = err
	var says struct {
		pauses interface{ Pauses() string }
		after  interface{ RetryAfter() time.Duration }
		safe   interface{ SafeError() string }
	}
	if errors.As(err, &says.pauses) {
		e.pauses = says.pauses.Pauses()
	}
	if errors.As(err, &says.after) {
		e.retryAfter = max(0, says.after.RetryAfter())
	}
	if errors.As(err, &says.safe) && says.safe.SafeError() != "" {
		e.detail += ": " + says.safe.SafeError()
	}
	return e
}

// connectFailure says what stood in the way of a connection.
func connectFailure(err error) string {
	var (
		dns      *net.DNSError
		op       *net.OpError
		proxy    *httpwire.ProxyRefusal
		verify   *tls.CertificateVerificationError
		record   tls.RecordHeaderError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
	)
	switch {
	case errors.As(err, &proxy):
		return "the proxy refused the connection with status " + strconv.Itoa(proxy.Status)
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return "the proxy could not be used"
	case op != nil && strings.HasPrefix(op.Op, "socks "):
		return socksFailure(op)
	case op != nil && op.Op == "remote error" && op.Err != nil: // an alert, in the words of crypto/tls
		return "the TLS handshake failed: the other side answered " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	case op != nil && op.Op == "local error",
		errors.As(err, &verify), errors.As(err, &record),
		errors.As(err, &unknown), errors.As(err, &hostname), errors.Is(err, httpwire.ErrHandshakeTimeout):
		return "the TLS handshake failed"
	case errors.As(err, &dns):
		return "the host name could not be resolved"
	}
	return "no connection"
}

// socksReply begins the text of net/http for what a SOCKS proxy answered; the rest is one of
// a few constants (RFC 1928, section 6).
const socksReply = "unknown error "

// socksFailure says why a SOCKS proxy was of no use.
func socksFailure(op *net.OpError) string {
	if op.Err != nil {
		if reply, ok := strings.CutPrefix(op.Err.Error(), socksReply); ok {
			return "the proxy refused the connection: " + reply
		}
		if op.Err.Error() == "username/password authentication failed" || op.Err.Error() == "no acceptable authentication methods" {
			return "the proxy refused the connection: " + op.Err.Error()
		}
	}
	return "the proxy could not be used"
}

// safeCause keeps an error whose text comes from this machine. Those of net/http may
// quote an answer that it could not parse, and so are dropped.
func safeCause(err error) error {
	var op *net.OpError
	var verify *tls.CertificateVerificationError
	var proxy *httpwire.ProxyRefusal
	switch {
	case errors.As(err, &proxy):
		return proxy
	case errors.As(err, &verify):
		return verify
	case errors.As(err, &op):
		if op.Op == "proxyconnect" { // a proxy's answer is quoted inside
			return nil
		}
		return op
	case errors.Is(err, httpwire.ErrHandshakeTimeout):
		return httpwire.ErrHandshakeTimeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return nil
}
