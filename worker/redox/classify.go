package redox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// classify decides what an answer means: the classification table of the contract, in the
// order of its rows. The reply holds what Redox said in either case.
func (c *Client) classify(out *call) *Error {
	r := &out.reply
	f := find(r.Body)
	r.LogIDs = f.logIDs
	if r.Status >= 200 && r.Status <= 299 {
		return out.classifySuccess(&f)
	}
	e := r.failure(&f)
	switch {
	case r.Status == http.StatusBadRequest && out.request && r.cut != nil:
		// What it means is in its body.
		return r.cutOff(&f)
	case r.Status == http.StatusBadRequest && out.request && f.transmission:
		// Until 2020 a failed destination of a query was a 400 (Redox, recorded traffic).
		r.Flag = flagText("the destination failed", e.remote)
		return nil
	case r.Status == http.StatusUnauthorized:
		e.class, e.pauses = ClassUnauthorized, c.keyScope(out.sender)
		e.detail = "redox refused a new token of key " + out.sender.Key + " as well"
	case r.Status == http.StatusTooManyRequests:
		e.class, e.pauses, e.retryAfter = ClassThrottled, c.groupScope(), r.retryAfter
		e.detail = "too many requests from this egress group"
	case r.Status == http.StatusGatewayTimeout:
		e.class, e.retryAfter, e.unknown = ClassNoAnswer, r.retryAfter, out.decides()
		e.detail = "redox gave up waiting"
		if e.unknown {
			e.detail += "; the outcome is unknown"
		}
	case r.Status == http.StatusRequestTimeout, r.Status >= 500:
		e.class, e.retryAfter = ClassUnavailable, r.retryAfter
		e.doubtful = out.decides() && doubtful(r.Status)
		e.detail = "redox could not take it now"
	default:
		e.class, e.detail = ClassRefused, "redox refused it"
		if r.Status >= 300 && r.Status <= 399 {
			e.detail = "redox answered with a redirect, which is not followed"
		}
	}
	return e
}

// decides reports whether it matters if Redox took a request whose answer did not come: a
// REQUEST is safe to repeat, and so is what is harmless.
func (out *call) decides() bool { return !out.request && !out.harmless }

// doubtful reports whether a status leaves open if a SEND was taken. 408 says that the
// request did not arrive whole; 502 and 503, that it did not reach the application.
func doubtful(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable:
		return false
	}
	return true
}

// failure is the error of an answer, without its class.
func (r *reply) failure(f *findings) *Error {
	return &Error{status: r.Status, remote: f.remoteText(), traceID: r.traceID, written: true}
}

// classifySuccess looks behind a 2xx: it may carry errors (Redox, Request).
func (out *call) classifySuccess(f *findings) *Error {
	r := &out.reply
	switch {
	case f.failed && !out.request:
		e := r.failure(f)
		e.class, e.detail = ClassRefused, "redox answered with errors"
		return e
	case r.cut != nil && out.request:
		return r.cutOff(f)
	case f.failed:
		r.Flag = flagText("answered with errors", f.remoteText())
	case r.flaw != "":
		r.Flag = r.flaw
	case out.bare && (len(r.Body) == 0 || f.broken):
	case len(r.Body) == 0:
		r.Flag = "the answer has no body"
	case f.broken:
		r.Flag = "the answer is not JSON"
	case out.names && fileURI(r.Body) == "":
		r.Flag = "the answer names no URI"
	}
	return nil
}

// cutOff is the error of a REQUEST whose answer was not read to its end, because the attempt was
// cancelled. The answer is the point of a query, and asking again is safe.
func (r *reply) cutOff(f *findings) *Error {
	e := r.failure(f)
	e.class, e.detail, e.cause = ClassNoAnswer, "the attempt was cancelled while the answer was read", r.cut
	return e
}

func flagText(text, remote string) string {
	if remote == "" {
		return text
	}
	return text + " (" + remote + ")"
}

// noAnswer classifies a failed RoundTrip.
func (c *Client) noAnswer(ctx context.Context, out *call, err error, written bool) *Error {
	e := &Error{class: ClassNoAnswer, written: written, unknown: written && out.decides()}
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, ErrTimeout) && written:
		e.match, e.detail = ErrTimeout, "no answer within redox.timeout, "+c.cfg.Timeout.String()
	case errors.Is(cause, ErrTimeout):
		e.match, e.detail = ErrTimeout, "no connection within redox.timeout, "+c.cfg.Timeout.String()
	case cause != nil && written:
		e.cause, e.detail = cause, "the attempt was cancelled before the answer"
	case cause != nil:
		e.cause, e.detail = cause, "the attempt was cancelled before anything was sent"
	case written:
		e.cause, e.detail = safeCause(err), "the connection broke before the answer"
	default:
		e.cause, e.detail = safeCause(err), connectFailure(err)
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

// connectFailure says what stood in the way of a connection.
func connectFailure(err error) string {
	var (
		dns      *net.DNSError
		op       *net.OpError
		verify   *tls.CertificateVerificationError
		record   tls.RecordHeaderError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
	)
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return "the proxy could not be used"
	case op != nil && (op.Op == "remote error" || op.Op == "local error"), // TLS alerts
		errors.As(err, &verify), errors.As(err, &record),
		errors.As(err, &unknown), errors.As(err, &hostname), errors.Is(err, errHandshakeTimeout):
		return "the TLS handshake failed"
	case errors.As(err, &dns):
		return "the host name could not be resolved"
	}
	return "no connection"
}

// safeCause keeps an error whose text comes from this machine. Those of net/http may
// quote an answer that it could not parse, and so are dropped.
func safeCause(err error) error {
	var op *net.OpError
	var verify *tls.CertificateVerificationError
	switch {
	case errors.As(err, &verify):
		return verify
	case errors.As(err, &op):
		if op.Op == "proxyconnect" { // a proxy's answer is quoted inside
			return nil
		}
		return op
	case errors.Is(err, errHandshakeTimeout):
		return errHandshakeTimeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return nil
}

var errHandshakeTimeout = errors.New("timed out after " + handshakeTimeout.String())

const handshakeTimeout = 10 * time.Second
