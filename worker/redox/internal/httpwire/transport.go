package httpwire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
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

// Transport holds the connections to Redox. Make one with [New]. It is safe for concurrent use.
type Transport struct {
	http   *http.Transport // of HTTP/1.1
	dialer *dialer         // of http
	side   *http2Side      // nil: HTTP/2 is not used
}

// Config of [New]. There are no defaults but that of Dial.
type Config struct {
	// Proxy is that of [http.Transport].
	Proxy func(*http.Request) (*url.URL, error)
	// Roots are the certificates to trust; nil means the system's.
	Roots *x509.CertPool
	// ClientCertificate returns the certificate to show; nil means that there is none ever.
	ClientCertificate func() *tls.Certificate
	// Concurrency is how many idle connections are kept.
	Concurrency int
	// MaxDials bounds the connections to one host that are being opened at one time; −1 means
	// no limit.
	MaxDials int
	// IdleTimeout and MaxConnectionAge end the use of a connection; −1 means no limit.
	IdleTimeout, MaxConnectionAge time.Duration
	// Dial opens a connection, without TLS; nil means that a [net.Dialer] does.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// HTTP2 says that HTTP/2 is used with hosts that offer it.
	HTTP2 bool
}

// New makes a transport over TLS 1.2 or later, as Redox demands since October 2024
// (Redox, TLS).
func New(cfg Config) *Transport {
	secure := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.Roots, ClientSessionCache: tls.NewLRUClientSessionCache(cfg.Concurrency)}
	if cfg.ClientCertificate != nil {
		showCertificate(secure, cfg.ClientCertificate)
	}
	t := new(Transport)
	t.http, t.dialer = cfg.newHTTP(secure)
	if cfg.HTTP2 {
		t.side = &http2Side{open: func() *http.Transport { return cfg.newHTTP2(secure) }, age: cfg.MaxConnectionAge, hosts: make(map[string]*spoken)}
	}
	return t
}

// WaitDials waits until the connections of HTTP/1.1 that are being opened are open, or have failed.
func (t *Transport) WaitDials(ctx context.Context) error {
	t.dialer.mu.Lock()
	all := slices.Collect(maps.Values(t.dialer.slots))
	t.dialer.mu.Unlock()
	for _, s := range all {
		for range 2 { // the second time those are through that waited
			if err := s.acquire(ctx); err != nil {
				return err
			}
			s.release(dialUnneeded)
		}
	}
	return nil
}

// Speaks2 reports whether a request may go over HTTP/2.
func (t *Transport) Speaks2() bool { return t.side != nil }

// newHTTP makes a transport of HTTP/1.1.
func (c Config) newHTTP(secure *tls.Config) (*http.Transport, *dialer) {
	t := &http.Transport{
		Proxy:                  c.Proxy,
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
func (c Config) newHTTP2(secure *tls.Config) *http.Transport {
	t, _ := c.newHTTP(secure)
	t.Protocols.SetHTTP2(true)
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second}
	t.MaxConnsPerHost = HTTP2Dials // those of HTTP/2 do not count once they are full
	if t.IdleConnTimeout == 0 {    // what is not used for new requests has to close
		t.IdleConnTimeout = max(0, c.MaxConnectionAge)
	}
	d := c.dialFor(t, secure, "h2", "http/1.1")
	d.first, d.most = min(d.first, http2First), HTTP2Dials
	return t
}

// dialFor gives a transport its dialer, and the protocols that it offers.
func (c Config) dialFor(t *http.Transport, secure *tls.Config, protocols ...string) *dialer {
	t.TLSClientConfig = secure.Clone()
	t.TLSClientConfig.NextProtos = protocols
	open := c.Dial
	if open == nil {
		open = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	d := &dialer{open: open, tls: t.TLSClientConfig.Clone(), age: c.MaxConnectionAge,
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
	response, err := t.sendBy(r.WithContext(ctx), &w)
	if err == nil {
		conn.hear(response)
	}
	return response, err
}

// Send sends one request that w watches.
func (t *Transport) Send(r *http.Request, w *Watch) (*http.Response, error) {
	return t.sendBy(r, &w.way)
}

// sendBy sends one request the way that its host takes. The caller has w hear of the connection.
func (t *Transport) sendBy(r *http.Request, w *way) (*http.Response, error) {
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
	return &ProxyRefusal{Status: response.StatusCode}
}

// ProxyRefusal is the answer of a proxy that opens no tunnel.
type ProxyRefusal struct{ Status int }

// Error holds nothing else of the proxy's answer.
func (e *ProxyRefusal) Error() string {
	text := "the proxy answered CONNECT with " + strconv.Itoa(e.Status)
	if e.Status == http.StatusProxyAuthRequired || e.Status == http.StatusUnauthorized { // which tinyproxy says of a wrong password
		return text + ": give the proxy's URL the right user and password"
	}
	return text + ": check the proxy's URL, and that it lets this host through"
}
