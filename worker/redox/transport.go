package redox

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// TransportConfig of [NewTransport]. The zero value works.
type TransportConfig struct {
	// CAFile holds PEM certificates to trust besides the system's, for a gateway with a
	// private CA.
	CAFile string
	// RootCAs are the certificates to trust; nil means the system's. CAFile adds to them.
	RootCAs *x509.CertPool
	// ProxyURL of an http, https or socks5 proxy. "" means what HTTPS_PROXY and NO_PROXY
	// say; "none" means no proxy.
	ProxyURL string
	// Concurrency is how many requests may be in flight: so many idle connections are
	// kept. Default 64.
	Concurrency int
	// MaxDials bounds the connections being opened at one time, TLS handshake included
	// (through a proxy without it), so that a cold start does not open a thousand at
	// once. Default 16; −1 means no limit.
	MaxDials int
	// IdleTimeout closes a connection that was idle for so long. The default of 50s is
	// below the 60s of common load balancers: a connection that the other side closes
	// while a request is written makes an unknown outcome. −1 means never.
	IdleTimeout time.Duration
	// HTTP2 allows HTTP/2. It is off by default: HTTP/1.1 costs less per request here, and
	// one broken HTTP/2 connection leaves the outcome of every request on it unknown.
	HTTP2 bool
}

// WithDefaults returns c with every default filled in.
func (c TransportConfig) WithDefaults() TransportConfig {
	setDefault(&c.Concurrency, 64)
	setDefault(&c.MaxDials, 16)
	setDefault(&c.IdleTimeout, 50*time.Second)
	return c
}

// Validate reports every problem of c, each named by its field; it reads no file. It
// expects defaults filled in.
func (c TransportConfig) Validate() error {
	var errs []error
	if _, err := c.proxy(); err != nil {
		errs = append(errs, err)
	}
	if c.Concurrency < 1 {
		errs = append(errs, fmt.Errorf("redox: Concurrency: %d; use 1 or more", c.Concurrency))
	}
	if c.MaxDials < -1 {
		errs = append(errs, fmt.Errorf("redox: MaxDials: %d; use 1 or more, or -1 for no limit", c.MaxDials))
	}
	if c.IdleTimeout < -1 {
		errs = append(errs, fmt.Errorf("redox: IdleTimeout: %v; use more than 0s, or -1 for never", c.IdleTimeout))
	}
	return errors.Join(errs...)
}

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

// NewTransport returns the transport for everything that talks to Redox: data model,
// tokens and files share its connections. TLS is 1.2 or later, as Redox demands since
// October 2024 (Redox, TLS), answers are not compressed, and connections count their
// bytes for [Client]. The caller closes its idle connections at the end.
func NewTransport(cfg TransportConfig) (*http.Transport, error) {
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
	d := &dialer{net: net.Dialer{Timeout: dialTimeout}, tls: t.TLSClientConfig.Clone()}
	if cfg.MaxDials > 0 {
		d.slots = make(chan struct{}, cfg.MaxDials)
	}
	t.DialContext, t.DialTLSContext = d.dial, d.dialTLS
	return t, nil
}

func (c TransportConfig) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return c.RootCAs, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("redox: CAFile: %w", err)
	}
	roots := c.RootCAs
	if roots != nil {
		roots = roots.Clone()
	} else if roots, err = x509.SystemCertPool(); err != nil {
		roots = x509.NewCertPool() // no system certificates, as in an image from scratch
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("redox: CAFile: %s holds no PEM certificate", c.CAFile)
	}
	return roots, nil
}

// proxy never puts the URL into an error, as it may hold a password.
func (c TransportConfig) proxy() (func(*http.Request) (*url.URL, error), error) {
	switch c.ProxyURL {
	case "":
		return http.ProxyFromEnvironment, nil
	case "none":
		return nil, nil
	}
	u, err := url.Parse(c.ProxyURL)
	if err != nil || u.Host == "" {
		return nil, errors.New("redox: ProxyURL: not a URL; use one like http://proxy.example:3128")
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return http.ProxyURL(u), nil
	}
	return nil, fmt.Errorf("redox: ProxyURL: scheme %q; use http, https or socks5", u.Scheme)
}
