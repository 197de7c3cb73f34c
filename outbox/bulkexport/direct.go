package bulkexport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	// headTime bounds the wait for the head of an answer, and idleTime a standstill while its body is read.
	headTime = time.Minute
	idleTime = time.Minute
)

// directTransport is that of requests to other hosts.
func directTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		DialContext:         (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 15 * time.Second, ResponseHeaderTimeout: headTime, IdleConnTimeout: headTime,
	}
}

// errHost is the error of a file on a host that was not allowed. It names the host and nothing else of
// the URL, which may be signed.
func errHost(u *url.URL) error {
	return fmt.Errorf("the file is on another host, %q: allow it (AllowHosts, --allow-host) if it is the server's, to fetch it from there directly and without a token", u.Hostname())
}

// checkDirect says why a file is not fetched from another host.
func (e *Export) checkDirect(f file) (*url.URL, error) {
	u, err := url.Parse(f.URL)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil:
		return nil, errors.New("the file has a URL that leads nowhere")
	case !allowed(e.config.AllowHosts, u):
		return nil, errHost(u)
	case f.Token:
		return nil, fmt.Errorf("the file is on another host, %q, and the server wants a token for it: tokens go to redox.base_url alone", u.Hostname())
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("the file is on another host, %q, and not to be had by https", u.Hostname())
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// direct fetches a file from another host, without a token.
func (e *Export) direct(ctx context.Context, f file) (io.ReadCloser, error) {
	u, err := e.checkDirect(f)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, errors.New("the file has a URL that leads nowhere")
	}
	request.Header.Set("Accept", asLines)
	response, err := e.config.Client.Do(request)
	if err != nil {
		cancel(nil)
		return nil, passing{fmt.Errorf("no answer of %q", u.Hostname())} // the error of net/http quotes the URL
	}
	body := &watched{body: response.Body, cancel: cancel, host: u.Hostname()}
	body.timer = time.AfterFunc(idleTime, func() { cancel(errIdle) })
	status := response.StatusCode
	page := isPage(response.Header.Get("Content-Type"))
	if status == http.StatusOK && !page {
		return body, nil
	}
	_ = body.Close()
	switch err := fmt.Errorf("%q answered %d", u.Hostname(), status); {
	case status == http.StatusForbidden || status == http.StatusNotFound || status == http.StatusGone:
		return nil, fmt.Errorf("%w: %w", err, ErrGone)
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= http.StatusInternalServerError:
		return nil, passing{err}
	case page && status == http.StatusOK: // of whatever stands before that host, a sign-in for instance
		return nil, passing{fmt.Errorf("%q answered with a page of HTML", u.Hostname())}
	default:
		return nil, err
	}
}

func isPage(mediaType string) bool {
	kind, _, _ := mime.ParseMediaType(mediaType)
	return kind == "text/html" || kind == "application/xhtml+xml"
}

var errIdle = errors.New("nothing came for " + idleTime.String())

// watched is the body of an answer that may stand still.
type watched struct {
	body   io.ReadCloser
	cancel context.CancelCauseFunc
	timer  *time.Timer
	host   string
}

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(idleTime)
	n, err := w.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = passing{fmt.Errorf("the answer of %q broke off", w.host)}
	}
	return n, err
}

// Close is that of [io.Closer].
func (w *watched) Close() error {
	w.timer.Stop()
	w.cancel(nil)
	return w.body.Close()
}
