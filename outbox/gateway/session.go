package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

const (
	// storeTimeout bounds the storing of one request, and so the drain.
	storeTimeout = 10 * time.Second
	// inboxSize is how many requests the client may hand over before the session has
	// looked at the first: those beyond would be lost.
	inboxSize = 1 << 16
	// drainPoll is how often the end of the subscriptions is looked for.
	drainPoll = 20 * time.Millisecond
)

// lanes have an endpoint for each source.
var lanes = [...]contract.Lane{contract.LaneSend, contract.LaneRequest}

// session is one Run of a gateway. The requests of all sources come through one channel, as a
// handler of its own would cost each source two goroutines.
type session struct {
	gateway *Gateway
	ctx     context.Context // of the storing: outlives that of Run until the drain ends
	inbox   chan *nats.Msg
	turns   *turns
	stored  atomic.Int64
	refused atomic.Int64

	// under the gateway's mutex
	subscriptions map[string][len(lanes)]*nats.Subscription // by source
	leaving       atomic.Int64                              // subscriptions that the server may still serve

	stop       chan struct{} // closed when nothing comes any more
	dispatched sync.WaitGroup
}

func newSession(g *Gateway, storing context.Context) *session {
	s := &session{
		gateway: g, ctx: storing, inbox: make(chan *nats.Msg, inboxSize), stop: make(chan struct{}),
		subscriptions: make(map[string][len(lanes)]*nats.Subscription),
	}
	s.turns = newTurns(g.config.Concurrency, func(in *nats.Msg) { s.endpoint(in.Subject).serve(in) })
	s.dispatched.Go(s.dispatch)
	return s
}

// announce has the gateway found as a service until ctx ends. An error says that it cannot, or
// that the connection is closed.
func (s *session) announce(ctx context.Context) error {
	log, closed := s.gateway.config.Logger, make(chan struct{})
	service, err := micro.AddService(s.gateway.conn, micro.Config{
		Name: serviceName, Version: serviceVersion, Description: "Stores requests for delivery to Redox.",
		StatsHandler: func(*micro.Endpoint) any { return s.status() },
		DoneHandler:  func(micro.Service) { close(closed) },
		ErrorHandler: func(_ micro.Service, e *micro.NATSError) {
			log.Error("gateway: the server reported an error", "subject", e.Subject, "error", e.Description)
		},
	})
	if err != nil {
		return fmt.Errorf("outbox: start the gateway: %w", err)
	}
	tell := micro.HandlerFunc(func(r micro.Request) {
		if err := r.RespondJSON(s.status()); err != nil {
			log.Warn("gateway: answering failed", "subject", r.Subject(), "error", err)
		}
	})
	if err := service.AddEndpoint("status", tell, micro.WithEndpointSubject(s.gateway.config.Prefix.String()+".gateway.status")); err != nil {
		return errors.Join(fmt.Errorf("outbox: start the gateway: %w", err), service.Stop())
	}
	s.gateway.serving.Store(true)
	defer s.gateway.serving.Store(false)
	select {
	case <-ctx.Done():
		return service.Stop()
	case <-closed:
		if ctx.Err() != nil {
			return nil
		}
		return errors.New("outbox: the gateway's connection was closed")
	}
}

// status is what a gateway has done since it was started.
type status struct {
	Sources int   `json:"sources"`
	Stored  int64 `json:"stored"`
	Refused int64 `json:"refused"`
}

func (s *session) status() status {
	s.gateway.mu.Lock()
	defer s.gateway.mu.Unlock()
	return status{Sources: len(s.subscriptions), Stored: s.stored.Load(), Refused: s.refused.Load()}
}

// set subscribes to what is new among sources and leaves the others. The caller holds the
// gateway's mutex.
func (s *session) set(sources []string) (came []string, err error) {
	wanted := make(map[string]bool, len(sources))
	for _, source := range sources {
		wanted[source] = true
	}
	for source, subs := range s.subscriptions {
		if !wanted[source] {
			s.leave(subs[:])
			delete(s.subscriptions, source)
		}
	}
	for _, source := range sources {
		if s.subscriptions[source][0] != nil {
			continue
		}
		if err := s.subscribe(source); err != nil {
			return came, fmt.Errorf("outbox: gateway endpoint of source %s: %w", source, err)
		}
		came = append(came, source)
	}
	return came, nil
}

func (s *session) subscribe(source string) error {
	var subs [len(lanes)]*nats.Subscription
	for i, lane := range lanes {
		sub, err := s.gateway.conn.ChanQueueSubscribe(s.gateway.config.Prefix.GatewaySubject(source, lane), micro.DefaultQueueGroup, s.inbox)
		if err != nil {
			s.leave(subs[:i])
			return err
		}
		subs[i] = sub
	}
	s.subscriptions[source] = subs
	return nil
}

// leave has the server send no more requests. Those that it has sent come still.
func (s *session) leave(subs []*nats.Subscription) {
	for _, sub := range subs {
		s.leaving.Add(1)
		var once sync.Once
		left := func() { once.Do(func() { s.leaving.Add(-1) }) }
		sub.SetClosedHandler(func(string) { left() })
		if sub.Drain() != nil { // it is closed, and so is the connection
			left()
		}
	}
}

// dispatch puts what comes in line. It never waits for a source.
func (s *session) dispatch() {
	for {
		select {
		case in := <-s.inbox:
			s.take(in)
			continue
		case <-s.stop:
		}
		for {
			select {
			case in := <-s.inbox:
				s.take(in)
			default:
				return
			}
		}
	}
}

func (s *session) take(in *nats.Msg) {
	if !s.turns.add(in) {
		s.endpoint(in.Subject).refuse(in, "", errCrowded)
	}
}

// endpoint of a subject that the session has subscribed to.
func (s *session) endpoint(subject string) endpoint {
	source, lane, _ := strings.Cut(strings.TrimPrefix(subject, s.gateway.config.Prefix.String()+".gateway."), ".")
	return endpoint{session: s, source: source, lane: contract.Lane(lane)}
}

// drain returns when every request that came is answered. What could not be stored within
// storeTimeout is refused: the caller is told to send it again, so nothing is lost.
func (s *session) drain(cancel context.CancelFunc) {
	limit := time.AfterFunc(storeTimeout, cancel)
	defer limit.Stop()
	// While there is no connection no request comes, nor a word that none will.
	for end := time.Now().Add(jsapi.Timeout); s.leaving.Load() > 0 && time.Now().Before(end); {
		jsapi.Sleep(context.WithoutCancel(s.ctx), drainPoll)
	}
	close(s.stop)
	s.dispatched.Wait()
	s.turns.wait()
}
