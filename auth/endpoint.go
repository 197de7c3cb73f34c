package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/redoxworker/redoxworker/auth/httpanswer"
	"github.com/redoxworker/redoxworker/auth/internal/answer"
	"github.com/redoxworker/redoxworker/auth/internal/guard"
	"github.com/redoxworker/redoxworker/auth/internal/remote"
)

// Operations of an endpoint, as [TokenError.Op] names them.
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
	u, err := remote.Check(name, raw, plain)
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
		base = remote.Transport()
	}
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	if u.Scheme == "http" && !remote.Loopback(u.Hostname()) {
		l.Warn("credentials go out without TLS, which is for tests alone", "host", u.Host)
	}
	return &endpoint{url: raw, host: u.Host, own: own, timeout: timeout, logger: l, client: &http.Client{
		Transport:     remote.Guarded(base),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
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
	return &TokenError{Op: op, Host: e.host, Err: remote.WithoutQuotes(err)}
}

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
