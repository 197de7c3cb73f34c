package redox

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"
)

// Buffers and limits of a connection.
const (
	dialTimeout    = 10 * time.Second
	maxHeaderBytes = 64 << 10
	// connBuffer is the size of each of a connection's two buffers; net/http's default is
	// twice that. The head of a request and a usual answer fit in, larger bodies are not
	// copied through them.
	connBuffer = 2 << 10
	http2Conns = 16
)

// Transport holds the connections to Redox. Make one with [NewTransport]. It is safe for
// concurrent use.
type Transport struct{ http *http.Transport }

// NewTransport returns the transport for everything that talks to Redox: data model,
// tokens and files share its connections. TLS is 1.2 or later, as Redox demands since
// October 2024 (Redox, TLS), answers are not compressed, and connections count their
// bytes for [Client]. The caller closes its idle connections at the end.
func NewTransport(cfg TransportConfig) (*Transport, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	roots, err := cfg.roots()
	if err != nil {
		return nil, err
	}
	proxy, err := cfg.proxy()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		Proxy:                  proxy,
		OnProxyConnectResponse: openTunnel,
		Protocols:              new(http.Protocols),
		TLSHandshakeTimeout:    handshakeTimeout, // of connections through a proxy
		MaxIdleConns:           0,                // bounded per host
		MaxIdleConnsPerHost:    cfg.Concurrency,
		IdleConnTimeout:        max(0, cfg.IdleTimeout),
		MaxResponseHeaderBytes: maxHeaderBytes,
		WriteBufferSize:        connBuffer,
		ReadBufferSize:         connBuffer,
		DisableCompression:     true,
	}
	t.Protocols.SetHTTP1(true)
	next := []string{"http/1.1"}
	if cfg.HTTP2 {
		t.Protocols.SetHTTP2(true)
		t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second}
		t.MaxConnsPerHost = http2Conns // otherwise every request that waits for the first connection dials its own
		next = []string{"h2", "http/1.1"}
	}
	t.TLSClientConfig = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            roots,
		NextProtos:         next,
		ClientSessionCache: tls.NewLRUClientSessionCache(cfg.Concurrency),
	}
	if cfg.ClientCertificate != nil {
		showCertificate(t.TLSClientConfig, cfg.ClientCertificate)
	}
	d := &dialer{net: net.Dialer{Timeout: dialTimeout}, tls: t.TLSClientConfig.Clone(), age: cfg.MaxConnectionAge}
	if cfg.MaxDials > 0 {
		d.slots = make(chan struct{}, cfg.MaxDials)
	}
	t.DialContext, t.DialTLSContext = d.dial, d.dialTLS
	return &Transport{http: t}, nil
}

// RoundTrip sends one request, as [http.RoundTripper] says.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var conn *sendConn
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { conn, _ = take(info) },
	})
	response, err := t.http.RoundTrip(r.WithContext(ctx))
	if err == nil {
		conn.hear(response)
	}
	return response, err
}

// CloseIdleConnections closes the connections that no request uses now.
func (t *Transport) CloseIdleConnections() { t.http.CloseIdleConnections() }

// openTunnel makes an error of a proxy's refusal that names its status and nothing else.
func openTunnel(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyRefusal{status: response.StatusCode}
}
