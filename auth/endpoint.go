package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/auth/httpanswer"
	"github.com/redoxworker/redoxworker/auth/internal/answer"
	"github.com/redoxworker/redoxworker/auth/internal/guard"
)

// What an endpoint is asked for, in [TokenError.Op].
const (
	opToken        = "token"
	opAuthenticate = "authenticate"
	opRefresh      = "refresh"
)

const (
	defaultTimeout = 15 * time.Second
	maxRetryAfter  = 5 * time.Minute
)

// endpoint posts to one token endpoint: no redirects, bounded reads, one timeout
// and the clock measured from each answer.
type endpoint struct {
	url    string
	host   string
	own    bool // the client's transport
	client *http.Client
	// timeout is not the client's: that hides what its transport says of it.
	timeout time.Duration
	logger  *slog.Logger
	skew    skewMeter
}

// reply is a bounded HTTP answer.
type reply struct {
	status     int
	body       []byte
	date       time.Time // zero when the server sent none
	skew       time.Duration
	retryAfter time.Duration
	begun      time.Time // when the request was begun, local clock
	ended      time.Time // when its answer came
}

func newEndpoint(name, raw string, plain []string, base http.RoundTripper, timeout time.Duration, l *slog.Logger) (*endpoint, error) {
	u, err := checkURL(name, raw, plain)
	if err != nil {
		return nil, err
	}
	if timeout < 0 {
		return nil, fmt.Errorf("timeout is %s: give a positive one, or 0 for %s", timeout, defaultTimeout)
	}
	if timeout == 0 {
		timeout = defaultTimeout
	}
	own := guard.IsNil(base)
	if own {
		base = newBase()
	}
	if _, known := base.(*http.Transport); !known {
		base = guardedTransport{base}
	}
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		l.Warn("credentials go out without TLS, which is for tests alone", "host", u.Host)
	}
	return &endpoint{url: raw, host: u.Host, own: own, timeout: timeout, logger: l, client: &http.Client{
		Transport:     base,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// guardedTransport makes an error of a panic.
type guardedTransport struct{ base http.RoundTripper }

func (g guardedTransport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer guard.Recover("the transport", &err)
	return g.base.RoundTrip(r)
}

// newBase is the transport of an endpoint that was given none: a few idle
// connections, the environment's proxy, TLS 1.2 or later (net/http's minimum).
func newBase() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: defaultTimeout,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   4,
		ForceAttemptHTTP2:     true,
	}
}

// checkURL takes https, and http for loopback hosts and those named in plain. Its
// error has no package prefix: the caller adds it.
func checkURL(name, raw string, plain []string) (*url.URL, error) {
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
	case u.Scheme == "https", u.Scheme == "http" && (loopback(u.Hostname()) || named(plain, u.Hostname())):
		return u, nil
	}
	return nil, fmt.Errorf("%s is %s://%s: credentials go to https only (http for loopback hosts, and for the test hosts in HTTPHosts)", name, answer.Clip(u.Scheme, 16), u.Host)
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

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// closeIdle closes the idle connections of a transport that is the endpoint's own.
func (e *endpoint) closeIdle() {
	if e.own {
		e.client.CloseIdleConnections()
	}
}

// post sends one request. A nil error means an answer of any status, whole if it is a success.
func (e *endpoint) post(ctx context.Context, op, path, contentType string, body []byte) (reply, error) {
	limited, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(limited, http.MethodPost, e.url+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, e.failed(op, err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Accept", "application/json")
	a := reply{begun: time.Now()}
	resp, err := e.client.Do(r)
	if err != nil {
		return reply{}, e.failed(op, err)
	}
	defer func() { _ = resp.Body.Close() }()
	a.ended = time.Now()
	a.body, err = readText(resp)
	a.status = resp.StatusCode
	// What a refusal says is in its status: it counts also where the rest did not come.
	switch coded := errors.Is(err, httpanswer.ErrCoding) || errors.Is(err, httpanswer.ErrUnknownCoding); {
	case err == nil:
	case ctx.Err() != nil, a.status <= 299 && !coded:
		return reply{}, e.failed(op, err)
	case a.status <= 299:
		return reply{}, e.unusable(op, "", a, "its Content-Encoding cannot be undone")
	}
	a.date = httpanswer.Date(resp.Header)
	a.retryAfter = httpanswer.RetryAfter(resp.Header, a.ended, maxRetryAfter)
	if ahead, ok := e.skew.measure(a.begun, a.ended, a.date); ok {
		a.skew = ahead
		e.skew.log(ctx, e.logger, ahead)
	}
	return a, nil
}

// readText reads an answer, within bounds, as UTF-8. A part of it comes with an error.
func readText(resp *http.Response) ([]byte, error) {
	content, _, err := httpanswer.Decode(resp.Header, resp.Body)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(content, answer.MaxBytes+1))
	return httpanswer.Text(resp.Header.Get("Content-Type"), body), err
}

// failed wraps an error of a request that got no answer, without the URL that
// net/http puts into it.
func (e *endpoint) failed(op string, err error) error {
	if why := unasked(err); why != nil {
		return unaskedError(why)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &TokenError{Op: op, Host: e.host, Err: withoutQuotes(err)}
}

// withoutQuotes cuts an error's text where it begins to quote: net/http quotes what it cannot
// read of an answer, and that may be the token. What comes from this machine's network is
// left as it is.
func withoutQuotes(err error) error {
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

func (q quoted) Error() string { return q.text }
func (q quoted) Unwrap() error { return q.error }

// refused makes the error of an answer that holds no token.
func (e *endpoint) refused(op, kid string, a reply, sent ...Secret) *TokenError {
	t := &TokenError{Op: op, Host: e.host, KeyID: kid, Status: a.status, Skew: a.skew, retryAfter: a.retryAfter}
	t.Code, t.Description, t.URI = answer.ReadRefusal(a.body, sent)
	return t
}

// unusable makes the error of a success that holds no usable token.
func (e *endpoint) unusable(op, kid string, a reply, why string) *TokenError {
	return &TokenError{Op: op, Host: e.host, KeyID: kid, Status: a.status, Skew: a.skew, Err: fmt.Errorf("%w: %s", ErrAnswer, why)}
}
