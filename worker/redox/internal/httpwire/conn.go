package httpwire

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// countedConn counts the bytes written, and knows when the last was read.
type countedConn struct {
	net.Conn
	Written atomic.Int64
	read    atomic.Int64 // when, in nanoseconds since the epoch

	end   sync.Once
	ended chan struct{} // closed when nothing more is to be read
}

func newCountedConn(conn net.Conn) *countedConn {
	return &countedConn{Conn: conn, ended: make(chan struct{})}
}

// Read reads, and notes when.
func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.read.Store(time.Now().UnixNano())
	}
	if err != nil {
		c.over()
	}
	return n, err
}

// Close closes the connection.
func (c *countedConn) Close() error {
	c.over()
	return c.Conn.Close()
}

func (c *countedConn) over() { c.end.Do(func() { close(c.ended) }) }

func (c *countedConn) lastRead() time.Time { return time.Unix(0, c.read.Load()) }

// lastWords is how long a failed write waits for what the other side said before it hung up.
const lastWords = 250 * time.Millisecond

// hearOut waits until all was read that the other side has sent. A server that refuses a
// request, or a certificate, answers and hangs up without reading on. The write fails then, and
// net/http would drop the answer that is there to be read.
func (c *countedConn) hearOut() {
	wait := time.NewTimer(lastWords)
	defer wait.Stop()
	select {
	case <-c.ended:
	case <-wait.C:
	}
}

// Write writes to the connection and counts.
func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.Written.Add(int64(n))
	if err != nil {
		c.hearOut()
	}
	return n, err
}

// writeAll writes several pieces in one system call, if the connection can.
func (c *countedConn) writeAll(all *net.Buffers) (int64, error) {
	n, err := all.WriteTo(c.Conn)
	c.Written.Add(n)
	if err != nil {
		c.hearOut()
	}
	return n, err
}

// sendConn is what HTTP/1 of net/http writes to. Of a request whose body net/http does not
// know to be in memory, net/http writes the head at once and the body after it through a
// buffer that it makes for each. A sendConn keeps such a head back until the body comes, and
// writes both together: parts from where they are, or through a buffer of all connections.
//
// Only the goroutine that writes to the connection uses what is below Conn, and it calls
// [httptrace.ClientTrace.WroteHeaders] just before it writes the head.
type sendConn struct {
	net.Conn               // counted, or TLS over it
	Counted   *countedConn // whose bytes tell what was sent
	span      span         // of the time in which it may be used
	buffering bool         // the next to come is a head
	buffered  *[]byte      // of sendBuffers; nil: nothing
}

// sending is the one below a connection of net/http, nil when that was not opened by a dialer
// of this package.
func sending(conn net.Conn) *sendConn {
	if t, ok := conn.(*tls.Conn); ok { // a tunnel through a proxy
		if t.ConnectionState().NegotiatedProtocol == "h2" { // many requests share it
			return nil
		}
		conn = t.NetConn()
	}
	c, _ := conn.(*sendConn)
	return c
}

// PlainConn counts what is written to conn, without TLS.
func PlainConn(conn net.Conn) *sendConn {
	counted := newCountedConn(conn)
	return &sendConn{Conn: counted, Counted: counted}
}

// sendBuffers are in use for as long as one write takes, so that there are few.
var sendBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, sendBuffer)
	return &b
}}

const (
	sendBuffer = 16 << 10 // a record of TLS
	// leastDirect is the size up to which a body is copied behind its head.
	leastDirect = 4 << 10
)

// bufferHead keeps back what is written until p is read. The caller has p sent next.
func (c *sendConn) bufferHead(p *Parts) { c.buffering, p.headOn = true, c }

// Write writes to the connection, with what was kept back before it.
func (c *sendConn) Write(p []byte) (int, error) {
	if c.span.spent.Load() {
		return 0, errSpent
	}
	if !c.buffering && c.buffered == nil {
		return c.Conn.Write(p)
	}
	b := c.buffer()
	if c.buffering && len(*b)+len(p) < cap(*b) { // there is room left to read the body into
		*b = append(*b, p...)
		return len(p), nil
	}
	c.buffering = false
	defer c.release()
	if _, err := c.Conn.Write(*b); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// ReadFrom writes what was kept back and all that r reads.
func (c *sendConn) ReadFrom(r io.Reader) (n int64, err error) {
	if c.span.spent.Load() {
		return 0, errSpent
	}
	c.buffering = false
	b := c.buffer()
	defer c.release()
	if p, l := wholeParts(r); p != nil && c.Conn == net.Conn(c.Counted) && l.N > leastDirect {
		head := int64(len(*b))
		n, err = c.Counted.writeAll(p.behind(*b))
		n = max(0, n-head)
		l.N -= n
		return n, err
	}
	for {
		got, err := r.Read((*b)[len(*b):cap(*b)])
		n += int64(got)
		if *b = (*b)[:len(*b)+got]; got > 0 {
			if _, err := c.Conn.Write(*b); err != nil {
				return n, err
			}
			*b = (*b)[:0]
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// wholeParts is the parts that r is to read all of, as net/http passes them on.
func wholeParts(r io.Reader) (*Parts, *io.LimitedReader) {
	l, ok := r.(*io.LimitedReader)
	if !ok {
		return nil, nil
	}
	if p, ok := l.R.(*Parts); ok && p.size() == l.N {
		return p, l
	}
	return nil, nil
}

// buffer is the one with what is kept back, or an empty one.
func (c *sendConn) buffer() *[]byte {
	if c.buffered == nil {
		c.buffered = sendBuffers.Get().(*[]byte)
	}
	return c.buffered
}

// release gives the buffer to others, and forgets what is in it.
func (c *sendConn) release() {
	b := c.buffered
	c.buffered = nil
	*b = (*b)[:0]
	sendBuffers.Put(b)
}
