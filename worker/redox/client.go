package redox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/redoxworker/redoxworker/outbox"
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

// MessageScopes returns the pause scopes of a message besides those of its source: the host that it
// goes to, where that is not the API's, and its destination, "dest:<source>:<id>", where that is part
// of the answer: the slug of a FHIR path, and the destination of a data-model REQUEST. SENDs are
// answered by Redox, which queues them. It reads the body of such a REQUEST. It is safe for
// concurrent use.
func (c *Client) MessageScopes(m outbox.Message) []string {
	var scopes []string
	if host := c.HostScope(m); host != c.targets.apiScope {
		scopes = append(scopes, host)
	}
	if id := c.targets.destination(&m); id != "" {
		scopes = append(scopes, "dest:"+m.Source+":"+id)
	}
	return scopes
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

// Deliver makes one attempt to deliver m. It blocks until Redox's answer was read, for at
// most Config.Timeout per request: one, or two when the first token was refused, and as
// many before it for each file that [Offload] uploads. It reads m.Body until it returns,
// and net/http possibly for a moment longer: do not reuse it.
//
// A nil error means that Redox took the message; otherwise the error is an [*Error], and
// the Answer still holds what Redox answered, if it did. When ctx ends, the error wraps
// [context.Cause] and says whether the request had been written.
func (c *Client) Deliver(ctx context.Context, m outbox.Message) (outbox.Answer, error) {
	out := call{asked: c.targets.asked()}
	err := c.deliver(ctx, &out, &m)
	if out.asked != nil {
		out.reply.Hosts = out.asked.hosts
	}
	if err != nil { // not returned as is: a nil *Error is not a nil error
		return out.reply.Answer, err
	}
	return out.reply.Answer, nil
}

// deliver leaves the answer in out. It takes pointers, as all below it do: what is passed by
// value is part of the stack of each message in flight, once for every call on the way down.
func (c *Client) deliver(ctx context.Context, out *call, m *outbox.Message) *Error {
	if err := c.prepare(ctx, out, m); err != nil {
		return err
	}
	if err := c.exchange(ctx, out); err != nil {
		return err
	}
	return c.classify(ctx, out)
}

// prepare has the file of the kind make the request. Nothing of the message itself is sent.
func (c *Client) prepare(ctx context.Context, out *call, m *outbox.Message) *Error {
	s := c.sender(m.Source)
	if s == nil {
		return &Error{
			class: ClassNotSent, match: ErrUnknownSource,
			detail: "the source is not configured here; add it, or leave its messages to another worker",
		}
	}
	out.sender, out.message, out.deadline, out.request = s, m.ID, m.Deadline, m.Lane == outbox.LaneRequest
	out.replies = out.request || m.ReplyTo != ""
	kind := m.Kind
	if kind == "" {
		kind = outbox.KindDataModel
	}
	out.kind = kind
	switch kind {
	case outbox.KindDataModel, outbox.KindFHIR, outbox.KindFile, outbox.KindPlatform:
		if err := s.guardKind(kind); err != nil {
			return err
		}
	}
	if isText(m) {
		m.Body = outbox.WithoutMark(m.Body)
	}
	switch kind {
	case outbox.KindDataModel:
		return c.dataModel(ctx, out, m)
	case outbox.KindFHIR:
		return c.fhir(ctx, out, m)
	case outbox.KindFile:
		return c.file(ctx, out, m)
	case outbox.KindPlatform:
		return c.platform(ctx, out, m)
	default:
		return poison("the kind is not data-model, fhir, file or platform")
	}
}
