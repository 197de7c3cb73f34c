package redox

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
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
	// ClientCertificate returns the certificate to show to a server that asks for one, as a
	// gateway with mutual TLS does. It is called for each handshake, so that it may return
	// another one when the old one was replaced, and from several goroutines at once; nil
	// means none. The default nil means that there is none ever.
	ClientCertificate func() *tls.Certificate
	// ProxyURL of an http, https or socks5 proxy. "" means what HTTPS_PROXY and NO_PROXY
	// say; "none" means no proxy.
	ProxyURL string
	// Concurrency is how many requests may be in flight: so many idle connections are
	// kept. Default 64.
	Concurrency int
	// MaxDials bounds the connections to one host that are being opened at one time, TLS
	// handshake included (through a proxy without it), so that a cold start does not open a
	// thousand at once. Each that was opened allows for one more, up to an eighth of
	// Concurrency, until one fails. Default 16; −1 means no limit.
	MaxDials int
	// IdleTimeout is how long a connection may be idle and be used again. The default of 50s
	// is below the 60s of common load balancers: a connection that the other side closes
	// while a request is written makes an unknown outcome. A shorter time in a server's
	// Keep-Alive header takes precedence. −1 means no limit but the server's.
	IdleTimeout time.Duration
	// MaxConnectionAge is how long after it was opened a connection may be used again, give
	// or take a tenth, so that a busy one does not outlive a change of the address behind
	// the host's name. A request under way is not cut off. Default 5m; −1 means no limit.
	// Those of HTTP/2 are given up together.
	MaxConnectionAge time.Duration
	// HTTP2 says when requests go over HTTP/2. Default HTTP2Auto.
	HTTP2 HTTP2
}

// WithDefaults returns c with every default filled in.
func (c TransportConfig) WithDefaults() TransportConfig {
	c.Concurrency = cmp.Or(c.Concurrency, 64)
	c.MaxDials = cmp.Or(c.MaxDials, 16)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 50*time.Second)
	c.MaxConnectionAge = cmp.Or(c.MaxConnectionAge, 5*time.Minute)
	c.HTTP2 = cmp.Or(c.HTTP2, HTTP2Auto)
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
	if c.MaxConnectionAge < -1 {
		errs = append(errs, fmt.Errorf("redox: MaxConnectionAge: %v; use more than 0s, or -1 for no limit", c.MaxConnectionAge))
	}
	if !c.HTTP2.known() {
		errs = append(errs, fmt.Errorf("redox: HTTP2: %q; use %s, %s or %s", string(c.HTTP2), HTTP2Auto, HTTP2On, HTTP2Off))
	}
	return errors.Join(errs...)
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

// HTTP2 says when requests go over HTTP/2, which only a host over TLS can offer. Many of them
// share a connection then: with hundreds in flight that takes half the memory and two thirds
// of the processor time, with few it takes more of it than HTTP/1.1. Where a connection
// breaks, the outcome of each request on it is unknown.
type HTTP2 string

// The values of [TransportConfig.HTTP2].
const (
	// HTTP2Auto means HTTP2On where Concurrency is 256 or more, else HTTP2Off.
	HTTP2Auto HTTP2 = "auto"
	// HTTP2On uses HTTP/2 with the hosts that offer it, and HTTP/1.1 with the others.
	HTTP2On HTTP2 = "on"
	// HTTP2Off uses HTTP/1.1 alone.
	HTTP2Off HTTP2 = "off"
)

// manyInFlight is from where on HTTP/2 costs less than HTTP/1.1.
const manyInFlight = 256

// used reports whether HTTP/2 is, with so many requests in flight.
func (h HTTP2) used(concurrency int) bool {
	return h == HTTP2On || h == HTTP2Auto && concurrency >= manyInFlight
}

func (h HTTP2) known() bool { return h == HTTP2Auto || h == HTTP2On || h == HTTP2Off }

// shown is h where it is one of the values.
func (h HTTP2) shown() HTTP2 {
	if h != "" && !h.known() {
		return "(unknown)"
	}
	return h
}
