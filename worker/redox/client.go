package redox

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/redoxworker/redoxworker/outbox/logsample"
	"github.com/redoxworker/redoxworker/worker/internal/guard"
	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
)

// Client delivers messages to Redox. It is safe for concurrent use and holds no
// goroutine; the connections belong to its transport.
type Client struct {
	cfg       Config
	sources   atomic.Pointer[map[string]*sender] // what it points to is never changed
	targets   targets
	userAgent []string // shared by all requests; never changed
	transport http.RoundTripper
	net       *httpwire.Transport // the transport, if it is of this package
	own       *Transport          // the transport, if New made it
	traced    bool                // the transport is net/http's, which reports to httptrace
	log       *slog.Logger
	metrics   *metrics
	limits    *httpwire.TimeLimits
}

// New returns a client for the sources, each of which names one of keys. The maps are
// copied. The error names every problem.
func New(sources map[string]Source, keys map[string]Credentials, cfg Config) (*Client, error) {
	cfg = cfg.WithDefaults()
	c := &Client{cfg: cfg, log: logsample.Wrap(cfg.Logger), userAgent: []string{cfg.UserAgent}}
	err := errors.Join(cfg.Validate(), c.SetSources(sources, keys))
	if err != nil {
		return nil, err
	}
	if c.targets, err = newTargets(cfg); err != nil {
		return nil, err
	}
	if c.transport = cfg.Transport; guard.IsNil(c.transport) {
		if c.own, err = NewTransport(TransportConfig{}); err != nil {
			return nil, err
		}
		c.transport = c.own
	}
	if t, ok := c.transport.(*Transport); ok {
		c.net = t.wire
	}
	if _, c.traced = c.transport.(*http.Transport); c.net != nil {
		c.traced = true
	}
	c.limits = httpwire.NewTimeLimits(cfg.Timeout, ErrTimeout)
	if c.metrics, err = newMetrics(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("redox: register metrics: %w", err)
	}
	return c, nil
}

// Scopes returns the pause scopes that messages of the source depend on: its key, the egress group
// and the API's host. [Error.Pauses] names one of them, or that of the host that the message goes
// to: see [Client.MessageScopes]. An unknown source has none.
func (c *Client) Scopes(source string) []string {
	s := c.sender(source)
	if s == nil {
		return nil
	}
	return []string{c.keyScope(s), c.groupScope(), c.targets.apiScope}
}

// KeyScope returns the pause scope of a key, by its name in the map given to [New]: its sources
// pause while no token can be obtained, or while Redox refuses the tokens.
func KeyScope(key string) string { return "key:" + key }

func (c *Client) keyScope(s *sender) string { return KeyScope(s.Key) }
func (c *Client) groupScope() string        { return "group:" + c.cfg.Group }

// Close closes idle connections of a transport that New made; one given in Config is its
// owner's to close. Deliveries in flight go on.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// maxMessage bounds a data-model or FHIR message as it arrives: with offload it may hold one file
// of the largest size, in base64, besides all that may be sent.
func (c *Client) maxMessage() int64 {
	switch {
	case !c.cfg.Offload.Enabled || c.cfg.MaxBody < 0:
		return c.cfg.MaxBody
	case c.cfg.MaxFile < 0:
		return -1
	}
	return c.cfg.MaxBody + (c.cfg.MaxFile+2)/3*4
}
