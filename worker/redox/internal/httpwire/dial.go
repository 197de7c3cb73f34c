package httpwire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// dialer opens connections that count their bytes, a bounded number at a time.
type dialer struct {
	open func(ctx context.Context, network, addr string) (net.Conn, error) // without TLS
	tls  *tls.Config
	age  time.Duration // greatest age of a connection; none if not above 0

	// how many are opened at one time at first, later and after one has failed; no bound if
	// first is not above 0
	first, most, failed int

	mu    sync.Mutex
	slots map[string]*dialSlots // by address
}

// acquire waits for a slot; release gives it back, with the error of what was opened. Where the
// connection is not needed any more there is none.
func (d *dialer) acquire(ctx context.Context, addr string) (release func(error), err error) {
	if d.first <= 0 {
		return func(error) {}, nil
	}
	s := d.slotsOf(addr)
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	if !needed(ctx) {
		s.release(dialUnneeded)
		return nil, errUnneeded
	}
	return func(err error) {
		if err != nil {
			s.release(dialFailed)
			return
		}
		s.release(dialOpened)
	}, nil
}

func (d *dialer) slotsOf(addr string) *dialSlots {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.slots[addr]
	if s == nil {
		if d.slots == nil {
			d.slots = make(map[string]*dialSlots)
		}
		s = newDialSlots(d.first, d.most, d.failed)
		d.slots[addr] = s
	}
	return s
}

// dial opens a plain connection: to a loopback host, or to a proxy.
func (d *dialer) dial(ctx context.Context, network, addr string) (opened net.Conn, err error) {
	release, err := d.acquire(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer func() { release(err) }()
	conn, err := d.open(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	plain := PlainConn(conn)
	plain.span.begin(d.age)
	return plain, nil
}

// dialTLS opens a connection and shakes hands while it holds the slot: the handshake is
// the dear part of a cold start.
func (d *dialer) dialTLS(ctx context.Context, network, addr string) (opened net.Conn, err error) {
	release, err := d.acquire(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer func() { release(err) }()
	raw, err := d.open(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return d.handshake(ctx, newCountedConn(raw), addr)
}

// handshake makes raw a TLS connection, or closes it.
func (d *dialer) handshake(ctx context.Context, raw *countedConn, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	cfg := d.tls.Clone()
	cfg.ServerName = host
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeTimeout, ErrHandshakeTimeout)
	defer cancel()
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		if errors.Is(context.Cause(ctx), ErrHandshakeTimeout) {
			return nil, ErrHandshakeTimeout
		}
		return nil, err
	}
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		return conn, nil // net/http wants to see that it is TLS
	}
	c := &sendConn{Conn: conn, Counted: raw}
	c.span.begin(d.age)
	return c, nil
}

// ErrHandshakeTimeout is returned when the other side does not shake hands in time.
var ErrHandshakeTimeout = errors.New("timed out after " + handshakeTimeout.String())

const handshakeTimeout = 10 * time.Second
