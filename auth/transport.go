package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/redoxworker/redoxworker/auth/internal/guard"
	"github.com/redoxworker/redoxworker/auth/internal/remote"
)

// maxDrain is how much of a refused answer is read, in bytes, so that its
// connection can be used again.
const maxDrain = 256 << 10

// Transport is an [http.RoundTripper] that puts a token of a [Source] on requests to
// one origin. On a 401 it drops the token and, where the body can be had again
// (no body, or [http.Request.GetBody] is set, as http.NewRequest does for byte
// and string readers), sends the request once more with another token. A second
// 401 is returned as it is.
//
// Requests to other origins, redirects among them, pass without a token. Safe
// for concurrent use.
type Transport struct {
	source Source
	origin string
	base   http.RoundTripper
}

// Source provides the tokens of a Transport: a *[Cache] or a *[Scopes]. Its methods are
// safe for concurrent use.
type Source interface {
	// Bearer returns a token for a request with that context.
	Bearer(ctx context.Context) (string, error)
	// Invalidate reports a token that the API refused.
	Invalidate(bearer string)
}

// TransportConfig is what a [Transport] may be told. The zero value sends by a
// transport of its own, with the environment's proxy.
type TransportConfig struct {
	// Base sends the requests; default a transport of its own.
	Base http.RoundTripper
	// HTTPHosts are test hosts, by name or address, whose origin may be plain http;
	// default none.
	HTTPHosts []string
}

// NewTransport returns a Transport for an origin such as
// "https://api.redoxengine.com"; a path in it means nothing. https is required,
// except on loopback hosts.
func NewTransport(s Source, origin string, cfg TransportConfig) (*Transport, error) {
	if guard.IsNil(s) {
		return nil, errors.New("auth: transport: there is no source of tokens: give what NewCache or NewScopes returned")
	}
	u, err := remote.Check("origin", origin, cfg.HTTPHosts)
	if err != nil {
		return nil, fmt.Errorf("auth: transport: %w", err)
	}
	base := cfg.Base
	if guard.IsNil(base) {
		own := remote.Transport()
		own.ResponseHeaderTimeout, own.MaxIdleConnsPerHost = 0, 100
		base = own
	}
	return &Transport{source: s, origin: originOf(u), base: base}, nil
}

// originOf returns scheme, host and port in one spelling.
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// RoundTrip sends the request with a token. It does not change r, and closes its
// body on every path. While no token can be had its error is a [*NoTokenError]
// and nothing is sent. A panic of the base is an error.
func (t *Transport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer guard.Recover("the transport's base", &err)
	if originOf(r.URL) != t.origin {
		return t.base.RoundTrip(r)
	}
	ctx := r.Context()
	bearer, err := t.source.Bearer(ctx)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	resp, err = t.base.RoundTrip(withBearer(r, r.Body, bearer))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	t.source.Invalidate(bearer)
	body, ok := bodyAgain(r)
	if !ok {
		return resp, nil
	}
	again, err := t.source.Bearer(ctx)
	if err != nil || again == bearer {
		if body != nil {
			_ = body.Close()
		}
		return resp, nil // the 401 says more than a missing token does
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
	_ = resp.Body.Close()
	resp, err = t.base.RoundTrip(withBearer(r, body, again))
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		t.source.Invalidate(again)
	}
	return resp, err
}

// CloseIdleConnections closes the base's, for [http.Client.CloseIdleConnections].
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// withBearer copies the request with a body and an Authorization header.
func withBearer(r *http.Request, body io.ReadCloser, bearer string) *http.Request {
	c := r.Clone(r.Context())
	c.Body = body
	c.Header.Set("Authorization", "Bearer "+bearer)
	return c
}

// bodyAgain returns the request's body from its start, and false when it cannot
// be had again.
func bodyAgain(r *http.Request) (io.ReadCloser, bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return r.Body, true
	}
	if r.GetBody == nil {
		return nil, false
	}
	body, err := r.GetBody()
	return body, err == nil
}
