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
)

// Transport holds the connections to Redox. Make one with [NewTransport]. It is safe for
// concurrent use.
type Transport struct {
	http   *http.Transport // of HTTP/1.1
	dialer *dialer         // of http
	side   *http2Side      // nil: HTTP/2 is not used
}

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
	secure := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(cfg.Concurrency)}
	if cfg.ClientCertificate != nil {
		showCertificate(secure, cfg.ClientCertificate)
	}
	t := new(Transport)
	t.http, t.dialer = cfg.newHTTP(proxy, secure)
	if cfg.HTTP2.used(cfg.Concurrency) {
		t.side = &http2Side{open: func() *http.Transport { return cfg.newHTTP2(proxy, secure) }, age: cfg.MaxConnectionAge, hosts: make(map[string]*spoken)}
	}
	return t, nil
}

type proxyFunc func(*http.Request) (*url.URL, error)

// newHTTP makes a transport of HTTP/1.1.
func (c TransportConfig) newHTTP(proxy proxyFunc, secure *tls.Config) (*http.Transport, *dialer) {
	t := &http.Transport{
		Proxy:                  proxy,
		OnProxyConnectResponse: openTunnel,
		Protocols:              new(http.Protocols),
		TLSHandshakeTimeout:    handshakeTimeout, // of connections through a proxy
		MaxIdleConns:           0,                // bounded per host
		MaxIdleConnsPerHost:    c.Concurrency,
		IdleConnTimeout:        max(0, c.IdleTimeout),
		MaxResponseHeaderBytes: maxHeaderBytes,
		WriteBufferSize:        connBuffer,
		ReadBufferSize:         connBuffer,
		DisableCompression:     true,
	}
	t.Protocols.SetHTTP1(true)
	return t, c.dialFor(t, secure, "http/1.1")
}

// newHTTP2 makes a transport of HTTP/2, and of HTTP/1.1 where a host does not offer that.
func (c TransportConfig) newHTTP2(proxy proxyFunc, secure *tls.Config) *http.Transport {
	t, _ := c.newHTTP(proxy, secure)
	t.Protocols.SetHTTP2(true)
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second}
	t.MaxConnsPerHost = http2Dials // those of HTTP/2 do not count once they are full
	if t.IdleConnTimeout == 0 {    // what is not used for new requests has to close
		t.IdleConnTimeout = max(0, c.MaxConnectionAge)
	}
	d := c.dialFor(t, secure, "h2", "http/1.1")
	d.first, d.most = min(d.first, http2First), http2Dials
	return t
}

// dialFor gives a transport its dialer, and the protocols that it offers.
func (c TransportConfig) dialFor(t *http.Transport, secure *tls.Config, protocols ...string) *dialer {
	t.TLSClientConfig = secure.Clone()
	t.TLSClientConfig.NextProtos = protocols
	d := &dialer{net: net.Dialer{Timeout: dialTimeout}, tls: t.TLSClientConfig.Clone(), age: c.MaxConnectionAge,
		first: c.MaxDials, most: c.Concurrency / 8, failed: c.MaxDials}
	t.DialContext, t.DialTLSContext = d.dial, d.dialTLS
	return d
}

// RoundTrip sends one request, as [http.RoundTripper] says.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var (
		conn *sendConn
		w    way
		n    = need{Context: r.Context()}
	)
	ctx := httptrace.WithClientTrace(&n, &httptrace.ClientTrace{
		GetConn: func(string) { n.met.Store(false) },
		GotConn: func(info httptrace.GotConnInfo) {
			n.met.Store(true)
			w.heard(info)
			conn, _ = take(info)
		},
	})
	response, err := t.send(r.WithContext(ctx), &w)
	if err == nil {
		conn.hear(response)
	}
	return response, err
}

// send sends one request the way that its host takes. The caller has w hear of the connection.
func (t *Transport) send(r *http.Request, w *way) (*http.Response, error) {
	if t.side == nil || r.URL.Scheme != "https" {
		return t.http.RoundTrip(r)
	}
	over, err := t.side.choose(r.Context(), r.URL.Host, w)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	if over == nil {
		return t.http.RoundTrip(r)
	}
	defer w.end()
	response, err := over.RoundTrip(r)
	w.refused(err)
	return response, err
}

// CloseIdleConnections closes the connections that no request uses now. Those of HTTP/2 that
// requests use are not used by later ones.
func (t *Transport) CloseIdleConnections() {
	t.http.CloseIdleConnections()
	if t.side != nil {
		t.side.renew()
	}
}

// openTunnel makes an error of a proxy's refusal that names its status and nothing else.
func openTunnel(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyRefusal{status: response.StatusCode}
}
