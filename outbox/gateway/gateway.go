package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/logsample"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// Config configures a Gateway.
type Config struct {
	// Prefix of subjects and streams. Empty means redox.
	Prefix contract.Prefix
	// Sources lists the sources that are served at first; see [Gateway.SetSources]. Empty means
	// none: the gateway runs and answers nobody.
	Sources []string
	// OrderSecret turns Redox-Order-Key into a token, at least 16 bytes. Empty
	// refuses that header. It also keys the ids by which the queue knows repeats; see
	// [outbox.PublisherConfig].
	OrderSecret []byte
	// ReplyAllow lists the reply subjects that are allowed besides redox.reply.<source>.>; it must
	// be that of the workers. nil means _INBOX.>.
	ReplyAllow []string
	// HeaderAllow lists the HTTP headers that a message may set, see [outbox.HeaderPolicy]; it must
	// be that of the workers.
	HeaderAllow []string
	// MaxWait is the deadline of a request without one. 0 means 150 s.
	MaxWait time.Duration
	// Now returns the time by the clock of the NATS server, with which workers compare deadlines,
	// such as ServerTime of a worker.Worker. nil means this host's clock.
	Now func() time.Time
	// Concurrency bounds the requests being stored at one time, for which the sources take
	// turns. 0 means 64.
	Concurrency int
	// MaxShare is the part of a bounded queue that one source may fill through gateways; see
	// [outbox.PublisherConfig]. 0 means 0.5, 1 all of it.
	MaxShare float64
	// Ring seals what is stored; see [outbox.PublisherConfig]. A reply to the caller's inbox, which nothing
	// stores, is not sealed, as the caller has no ring, unless it is too large for a message. nil seals nothing.
	Ring *seal.Ring
	// RequireSeal refuses what is not sealed where there is no Ring.
	RequireSeal bool
	// Logger; nil discards.
	Logger *slog.Logger
}

// WithDefaults returns a copy in which every zero field has its default and
// the sources are sorted and unique.
func (c Config) WithDefaults() Config {
	c.Sources = unique(c.Sources)
	c.MaxWait = cmp.Or(c.MaxWait, defaultWait)
	c.Concurrency = cmp.Or(c.Concurrency, 64)
	c.MaxShare = cmp.Or(c.MaxShare, 0.5)
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Validate reports every field that cannot work.
func (c Config) Validate() error {
	errs := []error{c.Prefix.Validate(), outbox.ReplyPolicy{Allow: c.ReplyAllow}.Validate(), outbox.HeaderPolicy{Allow: c.HeaderAllow}.Validate()}
	errs = append(errs, checkSources(c.Sources))
	if c.MaxWait < 0 {
		errs = append(errs, fmt.Errorf("outbox: gateway wait %v: use more than 0, or 0 for %v", c.MaxWait, defaultWait))
	}
	if c.Concurrency < 0 {
		errs = append(errs, fmt.Errorf("outbox: gateway concurrency %d: use 1 or more, or 0 for the default", c.Concurrency))
	}
	if !(c.MaxShare >= 0 && c.MaxShare <= 1) {
		errs = append(errs, fmt.Errorf("outbox: gateway MaxShare %v: use more than 0, up to 1, or 0 for the default", c.MaxShare))
	}
	return errors.Join(errs...)
}

func unique(sources []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(sources)))
}

func checkSources(sources []string) error {
	var errs []error
	for _, source := range sources {
		errs = append(errs, contract.CheckSource(source))
	}
	return errors.Join(errs...)
}

// Gateway lets any NATS client use plain requests: it stores them in the work queue, and is
// found as the NATS micro service redox-gateway. Several gateways share the requests of a
// source as a queue group.
//
// redox.gateway.<source>.send answers with an [outbox.Receipt] in JSON as soon as the message is
// stored. A caller that got none sends the request again under the same id, in
// Redox-Message-Id or Nats-Msg-Id, which the queue recognises among those of the source for
// as long as [outbox.Receipt] says. redox.gateway.<source>.request has the worker answer the caller with the final
// reply; the gateway itself answers only when it could not store the message, with the
// error headers of NATS micro. redox.gateway.status, the endpoint of the micro service,
// answers in JSON with the number of sources, and of requests that were stored and refused.
//
// Requests are stored side by side: a caller that needs an order waits for each receipt.
// A source costs two subscriptions, and nothing else until requests come.
type Gateway struct {
	conn      *nats.Conn
	config    Config
	publisher *outbox.Publisher
	policy    outbox.ReplyPolicy

	mu      sync.Mutex
	sources []string // sorted
	session *session // of Run; nil: it does not run
	// refused are the sources that the server has not let this user serve, in the connection with
	// this number.
	refused    map[string]error
	refusedFor uint64

	serving atomic.Bool
	counts  counts
}

// Stats is what a gateway has done since it was made.
type Stats struct {
	// Stored counts the requests that were stored, by lane: send and request.
	Stored map[contract.Lane]int64
	// Refused counts those that were not, by the code of their answer: 400, 409, 413, 500 and 503.
	Refused map[string]int64
}

// counts are what Stats shows.
type counts struct {
	stored  [len(lanes)]atomic.Int64
	refused [len(codes)]atomic.Int64
}

// codes are those that fault answers with.
var codes = [...]string{"400", "409", "413", "500", "503"}

// Stats returns what the gateway has done, with all lanes and codes. It is safe for concurrent use.
func (g *Gateway) Stats() Stats {
	s := Stats{Stored: make(map[contract.Lane]int64), Refused: make(map[string]int64)}
	for i, lane := range lanes {
		s.Stored[lane] = g.counts.stored[i].Load()
	}
	for i, code := range codes {
		s.Refused[code] = g.counts.refused[i].Load()
	}
	return s
}

// Serving reports whether Run has subscribed to the sources' subjects: the server has
// them, or gets them when the connection is back.
func (g *Gateway) Serving() bool { return g.serving.Load() }

// defaultWait is how long a publisher waits for its reply.
var defaultWait = outbox.PublisherConfig{}.WithDefaults().Wait

const (
	serviceName    = "redox-gateway"
	serviceVersion = "1.0.0" // of the contract, not of the program
)

// New returns a gateway; Run starts it. Set the connection's handlers
// for errors and for its end before Run, which wraps them (nats.go, micro.AddService).
func New(conn *nats.Conn, js jetstream.JetStream, cfg Config) (*Gateway, error) {
	if conn == nil || js == nil {
		return nil, errors.New("outbox: gateway.New needs a connection and a JetStream context")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	cfg.Logger = logsample.Wrap(cfg.Logger)
	// Claim checks, since the headers that are added may take a message that
	// the caller could just publish over the limit.
	publisher, err := outbox.NewPublisher(js, outbox.PublisherConfig{Prefix: cfg.Prefix, OrderSecret: cfg.OrderSecret, ClaimCheck: true, MaxShare: cfg.MaxShare, Ring: cfg.Ring, RequireSeal: cfg.RequireSeal})
	if err != nil {
		return nil, err
	}
	return &Gateway{
		conn: conn, config: cfg, publisher: publisher, sources: cfg.Sources,
		policy: outbox.ReplyPolicy{Prefix: cfg.Prefix, Allow: cfg.ReplyAllow},
	}, nil
}

// SetSources replaces the sources that are served, before Run or while it runs. Requests of a
// source that is gone are no longer taken; those that were taken are answered. A source that stays
// is not disturbed. SetSources returns when the server knows of the change, or after five seconds
// without an answer. Without a connection it returns at once, and the server is told when there is
// one. It is safe for concurrent use.
//
// After an error about a name nothing has changed. [outbox.ErrPermission] names a source that the
// user may not serve: the others are served, and this one after a reconnect that allows it.
func (g *Gateway) SetSources(sources []string) error {
	sources = unique(sources)
	if err := checkSources(sources); err != nil {
		return err
	}
	g.mu.Lock()
	g.sources = sources
	maps.DeleteFunc(g.refused, func(source string, _ error) bool { _, stays := slices.BinarySearch(sources, source); return !stays })
	if g.session == nil {
		g.mu.Unlock()
		return nil
	}
	came, err := g.session.set(sources)
	g.mu.Unlock()
	return errors.Join(err, g.confirm(context.Background(), came))
}

// Run serves until ctx ends, then stops taking requests and returns when those it took are
// answered, ten seconds later at most. It survives reconnects. It returns an error if the
// connection is closed. A source that the user may not serve stops no other: see Refused.
func (g *Gateway) Run(ctx context.Context) error {
	storing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s := newSession(g, storing)
	defer logsample.Flush(g.config.Logger)
	err := g.start(ctx, s)
	if err == nil {
		err = s.announce(ctx)
	}
	g.stop(s)
	s.drain(cancel)
	return err
}

func (g *Gateway) start(ctx context.Context, s *session) error {
	g.mu.Lock()
	if g.session != nil {
		g.mu.Unlock()
		return errors.New("outbox: the gateway runs already")
	}
	g.session = s
	came, err := s.set(g.sources)
	sources := len(g.sources)
	g.mu.Unlock()
	if err != nil {
		return err
	}
	if err := g.confirm(ctx, came); err != nil {
		g.config.Logger.Error("gateway: a source cannot be served", "error", err)
	}
	g.config.Logger.Info("gateway started", "sources", sources)
	return nil
}

// stop takes no more requests.
func (g *Gateway) stop(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.session == s {
		g.session = nil
	}
	_, _ = s.set(nil)
}

// confirm waits until the server knows what is subscribed, and names one of the sources that
// came which it refused. Not connected is no error: the client subscribes when it is.
func (g *Gateway) confirm(ctx context.Context, came []string) error {
	if !g.conn.IsConnected() {
		return nil
	}
	flush, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	if g.conn.FlushWithContext(flush) != nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.look(came)
}

// Refused returns an [outbox.ErrPermission] for each source that this user was refused, joined, until
// another connection is allowed it or the source is gone; nil for none. The server names the last such
// subject only: of several sources that are refused at once, one is named.
func (g *Gateway) Refused() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.look(g.sources)
	var errs []error
	for _, source := range slices.Sorted(maps.Keys(g.refused)) {
		errs = append(errs, g.refused[source])
	}
	return errors.Join(errs...)
}

// look notes which of the sources the connection says it refused last. The caller holds mu.
func (g *Gateway) look(sources []string) error {
	if now := g.conn.Stats().Reconnects; now != g.refusedFor {
		g.refused, g.refusedFor = nil, now
	}
	if !jsapi.Violates(g.conn, `Subscription to "`) {
		return nil
	}
	for _, source := range sources {
		for _, lane := range lanes {
			if !jsapi.RefusedSubscription(g.conn, g.config.Prefix.GatewaySubject(source, lane)) {
				continue
			}
			if g.refused == nil {
				g.refused = make(map[string]error)
			}
			g.refused[source] = fmt.Errorf("outbox: gateway: source %s: %w: allow its user to subscribe to %s.gateway.>", source, outbox.ErrPermission, g.config.Prefix)
			return g.refused[source]
		}
	}
	return nil
}
