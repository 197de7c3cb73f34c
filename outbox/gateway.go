package outbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

// GatewayConfig is what a Gateway may be told.
type GatewayConfig struct {
	// Prefix of subjects and streams. Empty means redox.
	Prefix Prefix
	// Sources with an endpoint. At least one.
	Sources []string
	// OrderSecret turns Redox-Order-Key into a token; nil refuses that header.
	OrderSecret []byte
	// ReplyAllow are the reply subjects allowed besides redox.reply.<source>.>; it must be
	// what the workers have. nil means _INBOX.>.
	ReplyAllow []string
	// MaxWait is the deadline of a request that brings none. 0 means 150 s.
	MaxWait time.Duration
	// Concurrency bounds the requests being stored at one time. 0 means 64.
	Concurrency int
	// Logger; nil discards.
	Logger *slog.Logger
}

// Gateway lets any NATS client use plain requests: a NATS micro service that stores them
// in the work queue. Several gateways share the requests as a queue group.
//
// redox.gateway.<source>.send answers with a [Receipt] in JSON as soon as the message is
// stored. redox.gateway.<source>.request has the worker answer the caller with the final
// reply; the gateway itself answers only when it could not store the message, with the
// error headers of NATS micro.
type Gateway struct {
	conn      *nats.Conn
	config    GatewayConfig
	publisher *Publisher
	policy    ReplyPolicy
}

const (
	gatewayName    = "redox-gateway"
	gatewayVersion = "1.0.0" // of the contract, not of the program
	storeTimeout   = 10 * time.Second
	flushTimeout   = 2 * time.Second
)

// NewGateway returns a gateway; Run starts it.
func NewGateway(conn *nats.Conn, js jetstream.JetStream, cfg GatewayConfig) (*Gateway, error) {
	if conn == nil || len(cfg.Sources) == 0 {
		return nil, errors.New("outbox: NewGateway needs a connection and at least one source")
	}
	for _, source := range cfg.Sources {
		if err := CheckSource(source); err != nil {
			return nil, err
		}
	}
	if cfg.MaxWait < 0 || cfg.Concurrency < 0 {
		return nil, errors.New("outbox: NewGateway: MaxWait and Concurrency must not be negative")
	}
	cfg.Sources = slices.Compact(slices.Sorted(slices.Values(cfg.Sources)))
	cfg.MaxWait = cmp.Or(cfg.MaxWait, 150*time.Second)
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 64)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if len(cfg.OrderSecret) == 0 {
		cfg.OrderSecret = nil
	}
	publisher, err := NewPublisher(js, PublisherConfig{Prefix: cfg.Prefix, OrderSecret: cfg.OrderSecret})
	if err != nil {
		return nil, err
	}
	g := &Gateway{conn: conn, config: cfg, publisher: publisher, policy: ReplyPolicy{Prefix: cfg.Prefix, Allow: cfg.ReplyAllow}}
	if err := g.policy.Validate(); err != nil {
		return nil, err
	}
	return g, nil
}

// intake bounds the requests that are being stored.
type intake struct {
	slots  chan struct{}
	closed chan struct{}
}

// close waits for the requests under way. Those that still come are turned away.
func (i intake) close() {
	for range cap(i.slots) {
		i.slots <- struct{}{} // and keep it: nobody gets one any more
	}
	close(i.closed)
}

// Run serves until ctx ends, then stops taking requests and returns when those it took
// are answered. Requests under one order key keep their order if each is sent after the
// receipt of the one before.
func (g *Gateway) Run(ctx context.Context) error {
	in := intake{slots: make(chan struct{}, g.config.Concurrency), closed: make(chan struct{})}
	defer in.close()
	stopped := make(chan struct{})
	service, err := micro.AddService(g.conn, micro.Config{
		Name: gatewayName, Version: gatewayVersion, Description: "Stores requests for delivery to Redox.",
		DoneHandler: func(micro.Service) { close(stopped) },
		ErrorHandler: func(_ micro.Service, e *micro.NATSError) {
			g.config.Logger.Error("gateway: the server reported an error", "subject", e.Subject, "error", e.Description)
		},
	})
	if err != nil {
		return fmt.Errorf("outbox: starting the gateway: %w", err)
	}
	for _, source := range g.config.Sources {
		for _, lane := range []Lane{LaneSend, LaneRequest} {
			err := service.AddEndpoint(source+"-"+string(lane), g.handler(source, lane, in),
				micro.WithEndpointSubject(g.config.Prefix.GatewaySubject(source, lane)))
			if err != nil {
				return errors.Join(fmt.Errorf("outbox: gateway endpoint of source %s: %w", source, err), service.Stop())
			}
		}
	}
	g.config.Logger.Info("gateway started", "sources", len(g.config.Sources))
	select {
	case <-ctx.Done():
	case <-stopped:
		if ctx.Err() == nil {
			return errors.New("outbox: the gateway's service stopped: its connection was closed")
		}
	}
	err = service.Stop()
	// After a round trip every request that the server sent here has arrived. Without a
	// connection there is none to wait for.
	_ = g.conn.FlushTimeout(flushTimeout)
	return err
}

// handler stores requests in goroutines of their own, as many as there are slots.
func (g *Gateway) handler(source string, lane Lane, in intake) micro.Handler {
	return micro.HandlerFunc(func(r micro.Request) {
		select {
		case in.slots <- struct{}{}:
		case <-in.closed:
			g.fail(source, lane, r, errStopping)
			return
		}
		go func() {
			defer func() { <-in.slots }()
			g.serve(source, lane, r)
		}()
	})
}

func (g *Gateway) serve(source string, lane Lane, r micro.Request) {
	if r.Reply() != "" && !g.answerable(source, r.Reply()) {
		g.fail(source, lane, r, errReplySubject)
		return
	}
	receipt, err := g.store(source, lane, r)
	if err != nil {
		g.fail(source, lane, r, err)
		return
	}
	if lane == LaneRequest {
		return // the worker answers
	}
	body, err := json.Marshal(receipt)
	if err == nil {
		err = g.answer(&nats.Msg{Subject: r.Reply(), Data: body})
	}
	if err != nil {
		g.config.Logger.Warn("gateway: answering failed", "source", source, "error", err)
	}
}

// answer publishes by itself: micro's own way writes to the request, which micro reads as
// soon as the handler has returned.
func (g *Gateway) answer(msg *nats.Msg) error {
	if msg.Subject == "" {
		return nil // published, not requested: nobody waits
	}
	return g.conn.PublishMsg(msg)
}

// fail tells the caller that nothing was stored, unless it wants to hear it where the
// gateway must not speak.
func (g *Gateway) fail(source string, lane Lane, r micro.Request, cause error) {
	code, text := gatewayFault(cause)
	g.config.Logger.Warn("gateway: a request was not stored", "source", source, "lane", lane, "code", code, "error", text)
	if r.Reply() == "" || !g.answerable(source, r.Reply()) {
		return
	}
	h := nats.Header{micro.ErrorHeader: {text}, micro.ErrorCodeHeader: {code}}
	if err := g.answer(&nats.Msg{Subject: r.Reply(), Header: h}); err != nil {
		g.config.Logger.Warn("gateway: answering failed", "source", source, "error", err)
	}
}

// answerable reports whether the gateway may publish to a request's reply subject. The
// caller chooses it and the server does not check it against the caller's rights: an error
// answer, which has no body, to $JS.API.STREAM.DELETE.REDOX_OUT would delete the queue. An
// inbox that is not allowed as a reply subject is at least told so.
func (g *Gateway) answerable(source, reply string) bool {
	if strings.HasPrefix(reply, "_INBOX") {
		return checkSubject(HeaderReplyTo, reply) == nil
	}
	return g.policy.Check(source, reply) == nil
}

var (
	errStopping     = errors.New("the gateway is stopping")
	errReplySubject = &ContractError{Part: "request", Reason: "has a reply subject that is neither an inbox nor allowed"}
)

var errNoInbox = &ContractError{Part: "request", Reason: "has no reply subject: use a NATS request, or publish to the send endpoint"}

func (g *Gateway) store(source string, lane Lane, r micro.Request) (Receipt, error) {
	m, err := g.message(source, lane, nats.Header(r.Headers()), r.Data())
	if err != nil {
		return Receipt{}, err
	}
	if lane == LaneRequest {
		if r.Reply() == "" {
			return Receipt{}, errNoInbox
		}
		m.ReplyTo = r.Reply()
		if m.Deadline.IsZero() {
			m.Deadline = time.Now().Add(g.config.MaxWait)
		}
	}
	if m.ReplyTo != "" {
		if err := g.policy.Check(source, m.ReplyTo); err != nil {
			return Receipt{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	receipt, err := g.publisher.Publish(ctx, m)
	if err == nil && receipt.foreign() && lane == LaneRequest {
		return receipt, ErrDuplicate // the reply goes to whoever was first
	}
	return receipt, err
}

// gatewayHeaders are what a caller may set. Everything else stays behind: Nats-* headers
// are instructions to the stream, and claim checks and replays are not for callers.
var gatewayHeaders = [...]string{HeaderID, HeaderKind, HeaderMethod, HeaderPath, HeaderContentType, HeaderAccept,
	HeaderReplyTo, HeaderOrderToken, HeaderDeadline, HeaderTraceParent, HeaderTraceState}

// message reads a request as if it had been stored.
func (g *Gateway) message(source string, lane Lane, in nats.Header, body []byte) (Message, error) {
	h := make(nats.Header, len(in))
	for _, name := range gatewayHeaders {
		if values := in[name]; len(values) > 0 {
			h[name] = values
		}
	}
	subject := g.config.Prefix.SendSubject(source)
	if lane == LaneRequest {
		subject = g.config.Prefix.RequestSubject(source)
		delete(h, HeaderReplyTo)
	}
	m, err := Decode(g.config.Prefix, Stored{Subject: subject, Header: h, Body: body})
	if err != nil {
		return m, err
	}
	if first(h, HeaderID) == "" {
		m.ID = NewID()
	}
	m.OrderKey = first(in, HeaderOrderKey)
	if m.OrderKey != "" && (lane == LaneRequest || g.config.OrderSecret == nil) {
		return m, &ContractError{Part: HeaderOrderKey, Reason: "cannot be used here: it is for SENDs, and the gateway needs order.secret"}
	}
	if m.OrderToken != "" || m.OrderKey != "" {
		m.Lane = ""
	}
	return m, nil
}

// gatewayFault is the safe answer to a failure: an HTTP status code and one line.
func gatewayFault(err error) (code, text string) {
	var contract *ContractError
	var size *SizeError
	switch {
	case errors.As(err, &contract):
		return "400", contract.SafeError()
	case errors.As(err, &size):
		return "413", size.Error()
	case errors.Is(err, ErrDuplicate):
		return "409", "a message was already published under this id; its reply goes to its first caller"
	case errors.Is(err, ErrQueueFull):
		return "503", "the queue is full; nothing was stored"
	default:
		return "503", "the message could not be stored; send it again with the same " + HeaderID
	}
}
