package redox

import (
	"context"
	"net"
	"net/http"

	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
)

// Transport holds the connections to Redox. Make one with [NewTransport]. It is safe for
// concurrent use.
type Transport struct{ wire *httpwire.Transport }

// NewTransport returns the transport for everything that talks to Redox: data model,
// tokens and files share its connections. TLS is 1.2 or later, as Redox demands since
// October 2024 (Redox, TLS), answers are not compressed, and connections count their
// bytes for [Client]. The caller closes its idle connections at the end.
func NewTransport(cfg TransportConfig) (*Transport, error) { return newTransport(cfg, nil) }

// newTransport is NewTransport with connections that dial opens, unless it is nil.
func newTransport(cfg TransportConfig, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*Transport, error) {
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
	return &Transport{httpwire.New(httpwire.Config{
		Proxy: proxy, Roots: roots, ClientCertificate: cfg.ClientCertificate,
		Concurrency: cfg.Concurrency, MaxDials: cfg.MaxDials,
		IdleTimeout: cfg.IdleTimeout, MaxConnectionAge: cfg.MaxConnectionAge,
		Dial: dial, HTTP2: cfg.HTTP2.used(cfg.Concurrency),
	})}, nil
}

// RoundTrip sends one request, as [http.RoundTripper] says.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) { return t.wire.RoundTrip(r) }

// CloseIdleConnections closes the connections that no request uses now. Those of HTTP/2 that
// requests use are not used by later ones.
func (t *Transport) CloseIdleConnections() { t.wire.CloseIdleConnections() }
