package redox

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

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

// writeAll writes several pieces in one system call, if the connection can.
func (c *countedConn) writeAll(all *net.Buffers) (int64, error) {
	n, err := all.WriteTo(c.Conn)
	c.written.Add(n)
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
	net.Conn              // counted, or TLS over it
	counted  *countedConn // whose bytes tell what was sent
	holds    bool         // the next to come is a head
	held     *[]byte      // of sendBuffers; nil: nothing
}

// plainConn counts what is written to conn, without TLS.
func plainConn(conn net.Conn) *sendConn {
	counted := &countedConn{Conn: conn}
	return &sendConn{Conn: counted, counted: counted}
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

// hold keeps back what is written until p is read. The caller has p sent next.
func (c *sendConn) hold(p *parts) { c.holds, p.holding = true, c }

// Write writes to the connection, with what was kept back before it.
func (c *sendConn) Write(p []byte) (int, error) {
	if !c.holds && c.held == nil {
		return c.Conn.Write(p)
	}
	b := c.buffer()
	if c.holds && len(*b)+len(p) < cap(*b) { // there is room left to read the body into
		*b = append(*b, p...)
		return len(p), nil
	}
	c.holds = false
	defer c.release()
	if _, err := c.Conn.Write(*b); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// ReadFrom writes what was kept back and all that r reads.
func (c *sendConn) ReadFrom(r io.Reader) (n int64, err error) {
	c.holds = false
	b := c.buffer()
	defer c.release()
	if p, l := wholeParts(r); p != nil && c.Conn == net.Conn(c.counted) && l.N > leastDirect {
		head := int64(len(*b))
		n, err = c.counted.writeAll(p.behind(*b))
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
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// wholeParts is the parts that r is to read all of, as net/http passes them on.
func wholeParts(r io.Reader) (*parts, *io.LimitedReader) {
	l, ok := r.(*io.LimitedReader)
	if !ok {
		return nil, nil
	}
	if p, ok := l.R.(*parts); ok && p.size() == l.N {
		return p, l
	}
	return nil, nil
}

// buffer is the one with what is kept back, or an empty one.
func (c *sendConn) buffer() *[]byte {
	if c.held == nil {
		c.held = sendBuffers.Get().(*[]byte)
	}
	return c.held
}

// release gives the buffer to others, and forgets what is in it.
func (c *sendConn) release() {
	b := c.held
	c.held = nil
	*b = (*b)[:0]
	sendBuffers.Put(b)
}
