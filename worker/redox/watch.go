package redox

import (
	"context"
	"crypto/tls"
	"net"
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
	conns   int          // that it had, when it began anew on another
	headers atomic.Bool  // the headers were written, or buffered
	ended   atomic.Int64 // how often the writing of the request came to an end
	trace   httptrace.ClientTrace
}

// attach makes w watch the request of the context.
func (w *watch) attach(ctx context.Context) context.Context {
	w.trace.GetConn = func(string) { w.asked = true }
	w.trace.GotConn = w.gotConn
	w.trace.WroteHeaders = func() { w.headers.Store(true) }
	w.trace.WroteRequest = func(httptrace.WroteRequestInfo) { w.ended.Add(1) }
	return httptrace.WithClientTrace(ctx, &w.trace)
}

func (w *watch) gotConn(info httptrace.GotConnInfo) {
	w.got, w.reused, w.h2, w.conn = true, info.Reused, false, nil
	w.conns++
	conn := info.Conn
	if t, ok := conn.(*tls.Conn); ok {
		w.h2 = t.ConnectionState().NegotiatedProtocol == "h2"
		conn = t.NetConn()
	}
	if counted, ok := conn.(*countedConn); ok {
		w.conn, w.before = counted, counted.written.Load()
	}
}

// leastRequest is more than TLS writes by itself to close a connection (31 bytes), and
// less than the request line, host and token of any request.
const leastRequest = 64

// written reports whether the other side can have anything of the request. Call it only
// after RoundTrip has failed: net/http has then stopped writing. traced says that the
// transport is known to report to httptrace.
func (w *watch) written(traced bool) bool {
	switch {
	case !w.got:
		return !w.asked && !traced
	case w.h2 || w.conn == nil: // a connection shared by many requests, or not ours
		return w.headers.Load()
	default:
		return w.conn.written.Load()-w.before >= leastRequest
	}
}

// finished reports whether nothing reads the body of the request any more. Over HTTP/1 the
// end of the writing says so, for each connection that the request was given to; over
// HTTP/2, and on connections that are not ours, it is not known.
func (w *watch) finished() bool { return w.conn != nil && !w.h2 && w.ended.Load() == int64(w.conns) }

// countedConn counts the bytes written.
type countedConn struct {
	net.Conn
	written atomic.Int64
}

// Write writes to the connection and counts.
func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}
