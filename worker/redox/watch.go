package redox

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"sync/atomic"
)

// watch tells whether anything of a request was written. httptrace alone cannot: over
// HTTP/1 it reports a request as written once it is in the buffer of the connection. So
// connections of our own dialer count their bytes; for others a request in the buffer
// counts as written, which errs on the safe side.
type watch struct {
	asked   bool // the transport reports to httptrace
	got     bool // it had a connection for the request
	reused  bool
	h2      bool
	conn    *countedConn // nil when the connection is not ours
	before  int64        // bytes written on conn before the request
	headers atomic.Bool  // the headers were written, or buffered
	body    *parts       // nil when it is not in parts
	sending atomic.Pointer[sendConn]
	trace   httptrace.ClientTrace
}

// attach makes w watch the request of the context. traced says that the transport is known
// to report to httptrace.
func (w *watch) attach(ctx context.Context, body *parts, traced bool) context.Context {
	w.body, w.asked = body, traced
	if !traced {
		w.trace.GetConn = func(string) { w.asked = true }
	}
	w.trace.GotConn = w.gotConn
	w.trace.WroteHeaders = w.wroteHeaders
	return httptrace.WithClientTrace(ctx, &w.trace)
}

func (w *watch) gotConn(info httptrace.GotConnInfo) {
	w.got, w.reused, w.h2, w.conn = true, info.Reused, false, nil
	conn := info.Conn
	sending, _ := conn.(*sendConn)
	w.sending.Store(sending)
	if t, ok := conn.(*tls.Conn); ok { // HTTP/2, or a tunnel through a proxy
		w.h2 = t.ConnectionState().NegotiatedProtocol == "h2"
		conn = t.NetConn()
	}
	if ours, ok := conn.(*sendConn); ok {
		w.conn, w.before = ours.counted, ours.counted.written.Load()
	}
}

// wroteHeaders has the head go out together with the body.
func (w *watch) wroteHeaders() {
	w.headers.Store(true)
	if c := w.sending.Load(); c != nil && w.body != nil {
		c.hold(w.body)
	}
}

// leastRequest is more than TLS writes by itself to close a connection (31 bytes), and
// less than the request line, host and token of any request.
const leastRequest = 64

// written reports whether the other side can have anything of the request. Call it only
// after RoundTrip has failed: net/http has then stopped writing.
func (w *watch) written() bool {
	switch {
	case !w.got:
		return !w.asked
	case w.h2 || w.conn == nil: // a connection shared by many requests, or not ours
		return w.headers.Load()
	default:
		return w.conn.written.Load()-w.before >= leastRequest
	}
}
