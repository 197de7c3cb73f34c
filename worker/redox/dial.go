package redox

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// dialer opens connections that count their bytes, a bounded number at a time.
type dialer struct {
	net   net.Dialer
	tls   *tls.Config
	slots chan struct{} // nil: no bound
	age   time.Duration // greatest age of a connection; none if not above 0
}

// acquire waits for a slot; release gives it back.
func (d *dialer) acquire(ctx context.Context) (release func(), err error) {
	if d.slots == nil {
		return func() {}, nil
	}
	select {
	case d.slots <- struct{}{}:
		return func() { <-d.slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// dial opens a plain connection: to a loopback host, or to a proxy.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	release, err := d.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	conn, err := d.net.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	plain := plainConn(conn)
	plain.span.begin(d.age)
	return plain, nil
}

// dialTLS opens a connection and shakes hands while it holds the slot: the handshake is
// the dear part of a cold start.
func (d *dialer) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	release, err := d.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	raw, err := d.net.DialContext(ctx, network, addr)
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
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeTimeout, errHandshakeTimeout)
	defer cancel()
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		if errors.Is(context.Cause(ctx), errHandshakeTimeout) {
			return nil, errHandshakeTimeout
		}
		return nil, err
	}
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		return conn, nil // net/http wants to see that it is TLS
	}
	c := &sendConn{Conn: conn, counted: raw}
	c.span.begin(d.age)
	return c, nil
}
