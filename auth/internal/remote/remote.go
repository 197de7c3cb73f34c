// Package remote says which addresses credentials may go to, and how.
package remote

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/answer"
	"github.com/redoxworker/redoxworker/auth/internal/guard"
)

// Guarded returns a transport whose panics are errors.
func Guarded(base http.RoundTripper) http.RoundTripper {
	if _, known := base.(*http.Transport); known {
		return base
	}
	return guardedTransport{base}
}

type guardedTransport struct{ base http.RoundTripper }

// RoundTrip serves [http.RoundTripper].
func (g guardedTransport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer guard.Recover("the transport", &err)
	return g.base.RoundTrip(r)
}

// Transport returns the transport of an endpoint that was given none: a few idle
// connections, the environment's proxy, TLS 1.2 or later (net/http's minimum).
func Transport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 15 * time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   4,
		ForceAttemptHTTP2:     true,
	}
}

// Check takes https, and http for loopback hosts and those named in plain. Its
// error has no package prefix: the caller adds it.
func Check(name, raw string, plain []string) (*url.URL, error) {
	if err := checkPlainHosts(plain); err != nil {
		return nil, err
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s cannot be read as a URL", name) // the URL error would quote a password in it
	case u.User != nil:
		return nil, fmt.Errorf("%s has a user or password in it: remove it", name)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s has no host: write https://HOST/PATH", name)
	case u.Fragment != "":
		return nil, fmt.Errorf("%s has a fragment (#): remove it", name)
	case u.Scheme == "https", u.Scheme == "http" && (Loopback(u.Hostname()) || named(plain, u.Hostname())):
		return u, nil
	}
	return nil, fmt.Errorf("%s is %s://%s: credentials go to https only (http for loopback hosts, and for the test hosts in HTTPHosts)", name, answer.Clip(u.Scheme, 16), answer.Clip(u.Host, 128))
}

// checkPlainHosts takes exact names and addresses.
func checkPlainHosts(plain []string) error {
	for _, h := range plain {
		if h == "" || strings.ContainsAny(h, ":/*?@ ") && net.ParseIP(h) == nil {
			return fmt.Errorf("HTTPHosts has %q: give the name of one host, without scheme, port and wildcards", answer.Clip(h, 64))
		}
	}
	return nil
}

func named(plain []string, host string) bool {
	return slices.ContainsFunc(plain, func(h string) bool { return strings.EqualFold(h, host) })
}

// Loopback reports whether a host is this machine.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// WithoutQuotes cuts an error's text where it begins to quote: net/http quotes what it cannot
// read of an answer, and that may be the token. What comes from this machine's network is
// left as it is.
func WithoutQuotes(err error) error {
	text, _, quotes := strings.Cut(err.Error(), `"`)
	if !quotes || errors.As(err, new(net.Error)) {
		return err
	}
	return quoted{err, strings.TrimRight(text, " :")}
}

// quoted is an error that quotes an answer, with a text that does not.
type quoted struct {
	error
	text string
}

// Error returns the text.
func (q quoted) Error() string { return q.text }

// Unwrap returns the error that quotes.
func (q quoted) Unwrap() error { return q.error }
