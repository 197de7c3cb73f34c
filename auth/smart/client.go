package smart

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/auth/httpanswer"
	"github.com/redoxworker/redoxworker/auth/internal/guard"
	"github.com/redoxworker/redoxworker/auth/internal/remote"
)

const (
	wellKnown      = "/.well-known/smart-configuration"
	defaultTimeout = 15 * time.Second
	maxRetryAfter  = 5 * time.Minute
)

// Config is what a [Client] may be told.
type Config struct {
	// OAuth is how tokens are asked for. Its TokenURL is found and must be "". Its
	// Transport, Timeout, Logger and HTTPHosts serve discovery as well.
	OAuth auth.OAuthConfig
	// TokenHosts are hosts besides that of the FHIR base at which the token endpoint
	// may be; default none.
	TokenHosts []string
}

// Client finds a server's token endpoint and asks there for tokens. It is an
// [auth.Minter]: put an [auth.Cache] in front of it. Safe for concurrent use; the
// document is asked for by one request, whoever waits for it.
type Client struct {
	base     *url.URL
	document string // its URL
	clientID string
	cfg      Config
	logger   *slog.Logger
	http     *http.Client
	own      bool          // its transport
	turn     chan struct{} // holds one: the right to ask for the document

	mu    sync.Mutex
	keys  [2]auth.Key // until there is an OAuth
	found Document
	oauth *auth.OAuth
	stale bool // the last request for a newer document failed
}

// New returns a Client for a server's FHIR base, a client id and its key. It makes no
// request.
func New(fhirBase, clientID string, k auth.Key, cfg Config) (*Client, error) {
	base, err := remote.Check("FHIR base", fhirBase, cfg.OAuth.HTTPHosts)
	if err != nil {
		return nil, fmt.Errorf("smart: %w", err)
	}
	host := strings.ToLower(base.Hostname())
	switch {
	case base.RawQuery != "":
		return nil, errors.New("smart: FHIR base has a query: remove it")
	case cfg.OAuth.TokenURL != "":
		return nil, errors.New("smart: the token URL is what is looked for: remove it, or use auth.NewOAuth")
	case host == "redoxengine.com" || strings.HasSuffix(host, ".redoxengine.com"):
		return nil, errors.New("smart: what Redox's host publishes describes another server: use auth.NewOAuth, which knows Redox's token URL")
	}
	own := guard.IsNil(cfg.OAuth.Transport)
	if own {
		cfg.OAuth.Transport = remote.Transport() // tokens and documents share connections
	}
	c := &Client{
		base: base, document: strings.TrimRight(fhirBase, "/") + wellKnown, clientID: clientID, cfg: cfg, own: own,
		logger: cmp.Or(cfg.OAuth.Logger, slog.New(slog.DiscardHandler)), turn: make(chan struct{}, 1),
		http: &http.Client{Transport: remote.Guarded(cfg.OAuth.Transport), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	if c.keys, err = c.usable([2]auth.Key{k, cfg.OAuth.Next}); err != nil {
		return nil, fmt.Errorf("smart: %w", err)
	}
	return c, nil
}

// usable returns keys as they sign, or what is wrong with them or with the configuration.
func (c *Client) usable(keys [2]auth.Key) ([2]auth.Key, error) {
	cfg := c.cfg.OAuth
	cfg.TokenURL, cfg.Next, cfg.Logger = c.document, keys[1], nil
	o, err := auth.NewOAuth(c.clientID, keys[0], cfg)
	if err != nil {
		return keys, err
	}
	return pair(o.Keys()), nil
}

// pair returns one or two keys as two.
func pair(all []auth.Key) (keys [2]auth.Key) {
	copy(keys[:], all)
	return keys
}

// Discover returns the server's document, from memory while it is good.
func (c *Client) Discover(ctx context.Context) (Document, error) {
	_, d, err := c.current(ctx)
	return d, err
}

// Mint asks for one token, and for the document first when it is not known or too old.
// While a newer document cannot be had the one before serves.
func (c *Client) Mint(ctx context.Context) (auth.Token, error) {
	return c.mint(ctx, func(o *auth.OAuth) auth.Minter { return o })
}

func (c *Client) mint(ctx context.Context, by func(*auth.OAuth) auth.Minter) (auth.Token, error) {
	o, _, err := c.current(ctx)
	if err != nil {
		return auth.Token{}, err
	}
	t, err := by(o).Mint(ctx)
	if e, ok := errors.AsType[*auth.TokenError](err); ok && (e.Status == http.StatusNotFound || e.Status == http.StatusGone) {
		c.moved(o)
	}
	return t, err
}

// WithScope returns the Client as a Minter that asks for another scope, for
// [auth.NewScopes].
func (c *Client) WithScope(scope string) auth.Minter { return scoped{c, scope} }

// scoped is a Client that asks for another scope.
type scoped struct {
	*Client
	scope string
}

// Mint implements [auth.Minter].
func (s scoped) Mint(ctx context.Context) (auth.Token, error) {
	return s.mint(ctx, func(o *auth.OAuth) auth.Minter { return o.WithScope(s.scope) })
}

// Keys returns the current and the next key, for [auth.NewJWKSHandler].
func (c *Client) Keys() []auth.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.oauth != nil:
		return c.oauth.Keys()
	case c.keys[1].IsZero():
		return []auth.Key{c.keys[0]}
	}
	return []auth.Key{c.keys[0], c.keys[1]}
}

// KeyInUse returns the key that signs at present.
func (c *Client) KeyInUse() auth.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.oauth != nil {
		return c.oauth.KeyInUse()
	}
	return c.keys[0]
}

// SetKeys replaces both keys, as [auth.OAuth.SetKeys] does.
func (c *Client) SetKeys(current, next auth.Key) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys, err := c.usable([2]auth.Key{current, next})
	if err == nil && c.oauth != nil {
		err = c.oauth.SetKeys(current, next)
	}
	if err != nil {
		return fmt.Errorf("smart: %w", err)
	}
	c.keys = keys
	return nil
}

// Skew returns how far the local clock was ahead of the token endpoint's: see
// [auth.OAuth.Skew].
func (c *Client) Skew() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.oauth == nil {
		return 0, false
	}
	return c.oauth.Skew()
}

// Check asks for a token with each key, as [auth.OAuth.Check] does, or says why the
// document cannot be used.
func (c *Client) Check(ctx context.Context) []auth.KeyCheck {
	o, _, err := c.current(ctx)
	if err == nil {
		return o.Check(ctx)
	}
	k, mend := c.KeyInUse(), ""
	if e, ok := errors.AsType[*Error](err); ok {
		mend = e.Mend()
	}
	return []auth.KeyCheck{{Role: "current", KeyID: k.ID(), Algorithm: k.Algorithm(), Err: err, Mend: mend}}
}

// newOAuth makes an OAuth for a token endpoint.
func (c *Client) newOAuth(tokenURL string, keys [2]auth.Key) (*auth.OAuth, error) {
	cfg := c.cfg.OAuth
	cfg.TokenURL, cfg.Next = tokenURL, keys[1]
	return auth.NewOAuth(c.clientID, keys[0], cfg)
}

// moved has the document asked for again when the endpoint is not there, unless that was
// done a moment ago.
func (c *Client) moved(o *auth.OAuth) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.oauth == o && time.Until(c.found.Until) > leastKept {
		c.found.Until = time.Now().Add(leastKept)
	}
}

// current returns an OAuth for the server's token endpoint, and the document.
func (c *Client) current(ctx context.Context) (*auth.OAuth, Document, error) {
	if o, d := c.known(); o != nil {
		return o, d, nil
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, Document{}, fmt.Errorf("smart: waiting for %s: %w", c.document, context.Cause(ctx))
	}
	if o, d := c.known(); o != nil { // somebody else was faster
		return o, d, nil
	}
	d, err := c.fetch(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		err = c.adopt(ctx, d)
	}
	if err == nil || c.oauth == nil || ctx.Err() != nil {
		return c.oauth, c.found, err
	}
	c.found.Until = time.Now().Add(leastKept)
	if !c.stale {
		c.logger.WarnContext(ctx, "a newer smart-configuration cannot be had, the one before serves", "error", err)
	}
	c.stale = true
	return c.oauth, c.found, nil
}

// known returns what is kept while it is good.
func (c *Client) known() (*auth.OAuth, Document) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.oauth == nil || !time.Now().Before(c.found.Until) {
		return nil, Document{}
	}
	return c.oauth, c.found
}

// adopt checks a document and puts it to use. c.mu is held.
func (c *Client) adopt(ctx context.Context, d Document) error {
	keys := c.keys
	if c.oauth != nil {
		keys = pair(c.oauth.Keys())
	}
	if mend, why := d.checkEndpoint(c.base, c.cfg); why != nil {
		return &Error{URL: c.document, Status: http.StatusOK, Err: why, mend: mend}
	}
	o := c.oauth
	if o == nil || d.TokenURL != c.found.TokenURL {
		var err error
		if o, err = c.newOAuth(d.TokenURL, keys); err != nil {
			return fmt.Errorf("smart: %w", err)
		}
	}
	if mend, why := d.checkKeys(o.Keys()); why != nil {
		return &Error{URL: c.document, Status: http.StatusOK, Err: why, mend: mend}
	}
	if c.oauth != nil && o != c.oauth {
		c.logger.InfoContext(ctx, "the server's token endpoint has moved", "from", c.found.TokenURL, "to", d.TokenURL)
	}
	c.oauth, c.found, c.stale = o, d, false
	return nil
}

// fetch asks for the document.
func (c *Client) fetch(ctx context.Context) (Document, error) {
	limited, cancel := context.WithTimeout(ctx, cmp.Or(c.cfg.OAuth.Timeout, defaultTimeout))
	defer cancel()
	r, err := http.NewRequestWithContext(limited, http.MethodGet, c.document, nil)
	if err != nil {
		return Document{}, &Error{URL: c.document, Err: errors.New("it cannot be asked for")}
	}
	r.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return Document{}, &Error{URL: c.document, Err: remote.WithoutQuotes(err)}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, resp.Body, maxDocument)
		return Document{}, &Error{URL: c.document, Status: resp.StatusCode, retryAfter: httpanswer.RetryAfter(resp.Header, time.Now(), maxRetryAfter)}
	}
	body, err := readBody(resp)
	if err != nil {
		return Document{}, &Error{URL: c.document, Status: resp.StatusCode, Err: err}
	}
	d, err := readDocument(body)
	if err != nil {
		return Document{}, &Error{URL: c.document, Status: resp.StatusCode, Err: err}
	}
	d.Until = time.Now().Add(kept(resp.Header.Get("Cache-Control")))
	return d, nil
}

// readBody reads an answer, within bounds, as UTF-8.
func readBody(resp *http.Response) ([]byte, error) {
	content, _, err := httpanswer.Decode(resp.Header, resp.Body)
	if err != nil {
		return nil, errors.New("its Content-Encoding cannot be undone")
	}
	body, err := io.ReadAll(io.LimitReader(content, maxDocument+1))
	switch {
	case err != nil:
		return nil, errors.New("it did not come whole")
	case len(body) > maxDocument:
		return nil, fmt.Errorf("it is larger than %d bytes", maxDocument)
	}
	return httpanswer.Text(resp.Header.Get("Content-Type"), body), nil
}

// CloseIdleConnections closes the idle connections to the server, unless they are those
// of the Transport of [Config].
func (c *Client) CloseIdleConnections() {
	if c.own {
		c.http.CloseIdleConnections()
	}
}
