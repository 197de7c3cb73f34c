package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/redoxworker/redoxworker/outbox/logsample"
)

// GatewayConfig is what a Gateway may be told.
type GatewayConfig struct {
	// Prefix of subjects and streams. Empty means redox.
	Prefix Prefix
	// Sources with an endpoint. Empty means none: the gateway runs and nobody is answered.
	Sources []string
	// OrderSecret turns Redox-Order-Key into a token, at least 16 bytes. Empty
	// refuses that header.
	OrderSecret []byte
	// ReplyAllow are the reply subjects allowed besides redox.reply.<source>.>; it must be
	// what the workers have. nil means _INBOX.>.
	ReplyAllow []string
	// MaxWait is the deadline of a request that brings none. 0 means 150 s.
	MaxWait time.Duration
	// Now is the time by the clock of the NATS server, with which workers compare
	// deadlines: ServerTime of a worker.Worker, say. nil means this host's clock.
	Now func() time.Time
	// Concurrency bounds the requests being stored at one time. 0 means 64.
	Concurrency int
	// Logger; nil discards.
	Logger *slog.Logger
}

// WithDefaults returns a copy in which every zero field has its default and
// the sources are sorted and unique.
func (c GatewayConfig) WithDefaults() GatewayConfig {
	c.Sources = slices.Compact(slices.Sorted(slices.Values(c.Sources)))
	c.MaxWait = cmp.Or(c.MaxWait, defaultWait)
	c.Concurrency = cmp.Or(c.Concurrency, 64)
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Validate reports every field that cannot work.
func (c GatewayConfig) Validate() error {
	errs := []error{c.Prefix.Validate(), ReplyPolicy{Allow: c.ReplyAllow}.Validate()}
	for _, source := range c.Sources {
		errs = append(errs, CheckSource(source))
	}
	if c.MaxWait < 0 {
		errs = append(errs, fmt.Errorf("outbox: gateway wait %v: use more than 0, or 0 for %v", c.MaxWait, defaultWait))
	}
	if c.Concurrency < 0 {
		errs = append(errs, fmt.Errorf("outbox: gateway concurrency %d: use 1 or more, or 0 for the default", c.Concurrency))
	}
	return errors.Join(errs...)
}

// Gateway lets any NATS client use plain requests: a NATS micro service that stores them
// in the work queue. Several gateways share the requests as a queue group.
//
// redox.gateway.<source>.send answers with a [Receipt] in JSON as soon as the message is
// stored. A caller that got none sends the request again under the same id, which the queue
// recognises for as long as [Receipt] says. redox.gateway.<source>.request has the worker answer the caller with the final
// reply; the gateway itself answers only when it could not store the message, with the
// error headers of NATS micro.
//
// Requests are stored side by side: a caller that needs an order waits for each receipt.
type Gateway struct {
	conn      *nats.Conn
	config    GatewayConfig
	publisher *Publisher
	policy    ReplyPolicy
	serving   atomic.Bool
}

// Serving reports whether Run has subscribed to the sources' subjects: the server has
// them, or gets them when the connection is back.
func (g *Gateway) Serving() bool { return g.serving.Load() }

const (
	gatewayName    = "redox-gateway"
	gatewayVersion = "1.0.0" // of the contract, not of the program
)

// NewGateway returns a gateway; Run starts it. Set the connection's handlers
// for errors and for its end before Run, which wraps them (nats.go, micro.AddService).
func NewGateway(conn *nats.Conn, js jetstream.JetStream, cfg GatewayConfig) (*Gateway, error) {
	if conn == nil || js == nil {
		return nil, errors.New("outbox: NewGateway needs a connection and a JetStream context")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	cfg.Logger = logsample.Wrap(cfg.Logger)
	// Claim checks, since the headers that are added may take a message that
	// the caller could just publish over the limit.
	publisher, err := NewPublisher(js, PublisherConfig{Prefix: cfg.Prefix, OrderSecret: cfg.OrderSecret, ClaimCheck: true})
	if err != nil {
		return nil, err
	}
	return &Gateway{conn: conn, config: cfg, publisher: publisher, policy: ReplyPolicy{Prefix: cfg.Prefix, Allow: cfg.ReplyAllow}}, nil
}

// Run serves until ctx ends, then stops taking requests and returns when those it took
// are answered, ten seconds later at most. It survives reconnects; that the connection is
// closed is an error. Errors: [ErrPermission] when the user may not serve a source.
func (g *Gateway) Run(ctx context.Context) error {
	storing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s := &session{gateway: g, ctx: storing, slots: make(chan struct{}, g.config.Concurrency), counts: map[string]*counts{}}
	defer logsample.Flush(g.config.Logger)
	stopped := make(chan struct{})
	service, err := micro.AddService(g.conn, micro.Config{
		Name: gatewayName, Version: gatewayVersion, Description: "Stores requests for delivery to Redox.",
		StatsHandler: s.stats,
		DoneHandler:  func(micro.Service) { close(stopped) },
		ErrorHandler: func(_ micro.Service, e *micro.NATSError) {
			g.config.Logger.Error("gateway: the server reported an error", "subject", e.Subject, "error", e.Description)
		},
	})
	if err != nil {
		return fmt.Errorf("outbox: start the gateway: %w", err)
	}
	if err := g.addEndpoints(ctx, service, s); err != nil {
		err = errors.Join(err, service.Stop())
		s.drain(cancel)
		return err
	}
	g.serving.Store(true)
	defer g.serving.Store(false)
	g.config.Logger.Info("gateway started", "sources", len(g.config.Sources))
	select {
	case <-ctx.Done():
		err = service.Stop()
	case <-stopped:
		if ctx.Err() == nil {
			err = errors.New("outbox: the gateway's connection was closed")
		}
	}
	s.drain(cancel)
	return err
}

func (g *Gateway) addEndpoints(ctx context.Context, service micro.Service, s *session) error {
	for _, source := range g.config.Sources {
		for _, lane := range []Lane{LaneSend, LaneRequest} {
			name := source + "-" + string(lane)
			c := new(counts)
			s.counts[name] = c
			e := endpoint{session: s, source: source, lane: lane, counts: c}
			if err := service.AddEndpoint(name, e, micro.WithEndpointSubject(g.config.Prefix.GatewaySubject(source, lane))); err != nil {
				return fmt.Errorf("outbox: gateway endpoint of source %s: %w", source, err)
			}
		}
	}
	flush, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	// Not connected is no error: the client subscribes when it is.
	if err := g.conn.FlushWithContext(flush); err == nil && violates(g.conn, `Subscription to "`+g.config.Prefix.String()+".gateway.") {
		return fmt.Errorf("outbox: gateway: %w: allow its user to subscribe to %s.gateway.>", ErrPermission, g.config.Prefix)
	}
	return nil
}
