package checkcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/service/access"
)

// checkHosts looks whether Redox can be reached as a worker would: through the same proxy, with the
// same certificates. Any answer will do; nothing is sent but a GET without credentials.
func checkHosts(ctx context.Context, c *config.Config, r *report) {
	transport, err := access.NewTransport(c)
	if err != nil {
		r.faults(checkRedox, err)
		return
	}
	defer transport.CloseIdleConnections()
	seen := make(map[string]bool)
	var group errgroup.Group
	for _, at := range addresses(c) {
		u, err := url.Parse(at.url)
		if err != nil || seen[u.Scheme+u.Host] {
			continue
		}
		seen[u.Scheme+u.Host] = true
		group.Go(func() error {
			reach(ctx, transport.Transport, at, u.Host, r)
			return nil
		})
	}
	_ = group.Wait() // nothing in it fails
	r.fine(checkRedox, counted(len(seen), "host of Redox answers", "hosts of Redox answer"))
}

// address is one that a key of the configuration says, or stands for.
type address struct{ key, url string }

// addresses that workers ask, those first that all ask.
func addresses(c *config.Config) []address {
	list := []address{{"redox.token_url", c.Redox.TokenURL}, {"redox.base_url", c.Redox.BaseURL}}
	for _, k := range c.Keys {
		if k.Type == config.KeyLegacy {
			list = append(list, address{"redox.legacy_url", c.Redox.LegacyURL})
			break
		}
	}
	return append(list, address{"redox.blob_url", c.Redox.BlobURL})
}

// reach asks a host anything.
func reach(ctx context.Context, transport *redox.Transport, at address, host string, r *report) {
	key := at.key
	if key == "redox.token_url" {
		key = "redox.base_url" // which it follows, and which is what people set
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.url, http.NoBody)
	if err != nil {
		r.fault(checkRedox, key, "is not a URL", "write a URL such as https://api.redoxengine.com")
		return
	}
	began := time.Now()
	answer, err := transport.RoundTrip(request)
	if err != nil {
		unreached(ctx, key, host, err, r)
		return
	}
	took := time.Since(began)
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	if at, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		r.clock(host, skew(began.Add(took/2), at))
	}
	html := strings.Contains(answer.Header.Get("Content-Type"), "html")
	switch code := answer.StatusCode; {
	case code == http.StatusProxyAuthRequired:
		r.fault(checkRedox, key, host+" answers 407: a proxy asks who this is", "give redox.proxy_url the user and password of the proxy")
	case html && (code < 400 || code == http.StatusNetworkAuthenticationRequired):
		r.fault(checkRedox, key, fmt.Sprintf("%s answers %d with a page of HTML, as no API of Redox does: something else answers in its place", host, code), "check "+key+", and the proxy or firewall on the way")
	case code >= 500:
		r.warn(checkRedox, key, fmt.Sprintf("%s answers %d", host, code), "wait, and look at Redox's status page")
	}
}

// skew is how far a moment by this clock is ahead of the Date of an answer, which lasts a second.
func skew(local, date time.Time) time.Duration {
	switch end := date.Add(time.Second); {
	case local.Before(date):
		return local.Sub(date)
	case local.After(end):
		return local.Sub(end)
	}
	return 0
}

// unreached says why a host does not answer.
func unreached(ctx context.Context, key, host string, err error, r *report) {
	mend := (&auth.TokenError{Err: err}).Mend()
	mend = strings.NewReplacer("the token URL's host", "the host of "+key, "the endpoint", host).Replace(mend)
	if ctx.Err() != nil {
		err = fmt.Errorf("%s does not answer: %w", host, context.Cause(ctx))
	}
	if mend == "" {
		mend = "check " + key + ", redox.proxy_url and the firewall on the way"
	}
	var shown *url.Error
	if errors.As(err, &shown) { // its URL may hold a proxy's password
		err = shown.Err
	}
	if key == "redox.blob_url" {
		r.warn(checkRedox, key, "cannot be reached, so that no files can be sent: "+err.Error(), mend)
		return
	}
	r.fault(checkRedox, key, "cannot be reached: "+err.Error(), mend)
}
