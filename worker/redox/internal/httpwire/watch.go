package httpwire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
	"time"
)

// Watch tells whether anything of a request was written. httptrace alone cannot: over
// HTTP/1 it reports a request as written once it is in the buffer of the connection. So
// connections of our own dialer count their bytes; for others a request in the buffer
// counts as written, which errs on the safe side.
type Watch struct {
	way     way
	need    need
	asked   bool // the transport reports to httptrace
	Got     bool // it had a connection for the request
	Reused  bool
	Spent   bool // the connection is past its time: the request will fail
	h2      bool
	earlier bool        // something was written on a connection before this one
	secured *tls.Conn   // the connection, or what is below it; nil without TLS
	conn    *sendConn   // nil when the connection is not ours, or HTTP/2
	before  int64       // bytes written on conn before the request
	headers atomic.Bool // the headers were written, or buffered
	fields  atomic.Bool // they were about to be; not always known
	answers atomic.Bool // something of an answer was read
	body    *Parts      // nil when it is not in parts
	sending atomic.Pointer[sendConn]
	trace   httptrace.ClientTrace
}

// Attach makes w watch the request of the context. traced says that the transport is known
// to report to httptrace, mayBe2 that it may speak HTTP/2.
func (w *Watch) Attach(ctx context.Context, body *Parts, traced, mayBe2 bool) context.Context {
	w.body, w.asked = body, traced
	w.need.Context = ctx
	w.trace.GetConn = w.getConn
	w.trace.GotConn = w.gotConn
	w.trace.WroteHeaders = w.wroteHeaders
	if mayBe2 {
		// It is called before anything is written. Over HTTP/2 the request may have ended before
		// the goroutine that writes the headers tells so.
		w.trace.WroteHeaderField = func(string, []string) { w.fields.Store(true) }
	}
	w.trace.GotFirstResponseByte = func() { w.answers.Store(true) }
	return httptrace.WithClientTrace(&w.need, &w.trace)
}

func (w *Watch) getConn(string) {
	w.asked = true
	w.need.met.Store(false)
}

func (w *Watch) gotConn(info httptrace.GotConnInfo) {
	w.need.met.Store(true)
	w.way.heard(info)
	w.earlier = w.Wrote()
	w.Got, w.Reused, w.h2 = true, info.Reused, false
	w.conn, w.Spent = take(info)
	direct, _ := info.Conn.(*sendConn)
	w.sending.Store(direct)
	if w.secured, _ = info.Conn.(*tls.Conn); w.secured != nil { // HTTP/2, or a tunnel through a proxy
		w.h2 = w.secured.ConnectionState().NegotiatedProtocol == "h2"
	} else if direct != nil {
		w.secured, _ = direct.Conn.(*tls.Conn)
	}
	if w.conn != nil {
		w.before = w.conn.Counted.Written.Load()
	}
}

// wroteHeaders has the head go out together with the body.
func (w *Watch) wroteHeaders() {
	w.headers.Store(true)
	if c := w.sending.Load(); c != nil && w.body != nil {
		c.bufferHead(w.body)
	}
}

// Hear reads what the answer says about its connection.
func (w *Watch) Hear(response *http.Response) { w.conn.hear(response) }

// leastRequest is more than TLS writes by itself to close a connection (31 bytes), and
// less than the request line, host and token of any request.
const leastRequest = 64

// Written reports whether the other side can have anything of the request. Call it only
// after RoundTrip has failed: net/http has then stopped writing.
func (w *Watch) Written() bool {
	switch {
	case !w.Got:
		return !w.asked
	case w.earlier:
		return true
	case w.h2 || w.conn == nil: // a connection shared by many requests, or not ours
		return w.headers.Load() || w.h2 && w.fields.Load()
	default:
		return w.conn.Counted.Written.Load()-w.before >= leastRequest
	}
}

// Wrote reports whether something of the request was seen to be written. It is never a guess.
func (w *Watch) Wrote() bool { return w.Got && w.Written() }

// Refused is the alert by which the other side refused the handshake; nil when it did not.
// Over TLS 1.3 a server answers to the client's certificate when the client takes the
// handshake to be done, and may have written a request: the answer is then the first thing to
// be read on a new connection, and nobody has read the request (RFC 8446, section 4.4.2.4).
// err is that of RoundTrip, which has ended.
func (w *Watch) Refused(err error) *net.OpError {
	if !w.Got || w.Reused || w.earlier || w.answers.Load() || w.secured == nil || w.secured.ConnectionState().Version != tls.VersionTLS13 {
		return nil
	}
	if alert := handshakeAlert(err); alert != nil || w.h2 {
		return alert
	}
	// Where the body could not be written either, net/http returns that error. A connection
	// repeats the alert that ended it.
	_ = w.secured.SetReadDeadline(time.Unix(1, 0))
	_, err = w.secured.Read(make([]byte, 1))
	return handshakeAlert(err)
}

// handshakeAlert is the alert in err, if the other side sent it and it is about a handshake.
func handshakeAlert(err error) *net.OpError {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || !aboutHandshake(op.Err) {
		return nil
	}
	return op
}

// handshakeAlerts are those that only a handshake ends with: they are about the certificate
// or the parameters that the client brought (RFC 8446, section 6.2). The others, such as
// internal_error, may come at any time, also from a server that has read the request.
var handshakeAlerts = [...]tls.AlertError{
	40,                         // handshake_failure
	42, 43, 44, 45, 46, 48, 49, // of a certificate, unknown_ca, access_denied
	51,               // decrypt_error: a signature or Finished
	70, 71, 109, 110, // protocol_version, insufficient_security, missing and unsupported extension
	112, 113, 115, 116, 120, // unrecognized_name, OCSP, PSK, certificate_required, no_application_protocol
}

func aboutHandshake(alert error) bool {
	return alert != nil && slices.ContainsFunc(handshakeAlerts[:], func(a tls.AlertError) bool { return a.Error() == alert.Error() })
}
