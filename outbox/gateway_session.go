package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

const (
	// storeTimeout bounds the storing of one request, and so the drain.
	storeTimeout = 10 * time.Second
	// quiet is how long no request may have come for the drain to be over. The
	// library does not tell when a service has handed out its last one.
	quiet = 150 * time.Millisecond
)

// session is one Run of a gateway.
type session struct {
	gateway *Gateway
	ctx     context.Context // of the storing: outlives that of Run until the drain ends
	slots   chan struct{}
	counts  map[string]*counts // by endpoint; not changed once requests come

	mu     sync.Mutex
	flying int
	last   time.Time // when a request last came
	closed bool
}

// counts are the statistics of an endpoint.
type counts struct{ stored, refused atomic.Int64 }

// stats makes the statistics that the library cannot keep, since requests
// outlive its handlers.
func (s *session) stats(e *micro.Endpoint) any {
	c := s.counts[e.Name]
	if c == nil {
		return nil
	}
	return map[string]int64{"stored": c.stored.Load(), "refused": c.refused.Load()}
}

// begin reports whether a request may still be taken.
func (s *session) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.flying++
	s.last = time.Now()
	return true
}

func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying--
}

// idle closes the session if nothing is being stored and nothing has come for
// a while.
func (s *session) idle(since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.After(since) {
		since = s.last
	}
	s.closed = s.flying == 0 && time.Since(since) >= quiet
	return s.closed
}

// drain returns when every request that came is answered. A late one is told
// to come again: it is not stored, so nothing is lost.
func (s *session) drain(cancel context.CancelFunc) {
	limit := time.AfterFunc(storeTimeout, cancel)
	defer limit.Stop()
	ctx, stop := context.WithTimeout(context.WithoutCancel(s.ctx), apiTimeout)
	defer stop()
	_ = s.gateway.conn.FlushWithContext(ctx) // after it the server sends no more requests
	for began := time.Now(); !s.idle(began); {
		sleep(context.WithoutCancel(s.ctx), connectPoll)
	}
}

// endpoint serves one source and lane.
type endpoint struct {
	session *session
	source  string
	lane    Lane
	counts  *counts
}

var errStopping = errors.New("the gateway is stopping")

// Handle stores a request in a goroutine of its own, of which there are as
// many as slots. It answers by itself: the library's request must not be used
// after the handler has returned.
func (e endpoint) Handle(r micro.Request) {
	in := &nats.Msg{Subject: r.Subject(), Reply: r.Reply(), Header: nats.Header(r.Headers()), Data: r.Data()}
	if !e.session.begin() {
		e.refuse(in, "", errStopping)
		return
	}
	e.session.slots <- struct{}{}
	go func() {
		defer e.session.end()
		defer func() { <-e.session.slots }()
		e.serve(in)
	}()
}

func (e endpoint) serve(in *nats.Msg) {
	receipt, err := e.store(in)
	if err != nil {
		e.refuse(in, receipt.ID, err)
		return
	}
	e.counts.stored.Add(1)
	if e.lane == LaneRequest || in.Reply == "" {
		return // the worker answers, or nobody wants to know
	}
	data, err := json.Marshal(receipt)
	if err != nil { // strings and numbers only: cannot happen
		return
	}
	e.answer(in, nats.Header{HeaderContentType: {"application/json"}, HeaderMessageID: {receipt.ID}}, data)
}

func (e endpoint) refuse(in *nats.Msg, id string, err error) {
	e.counts.refused.Add(1)
	code, text := gatewayFault(err)
	e.session.gateway.config.Logger.Warn("gateway: a request was not stored",
		"source", e.source, "lane", e.lane, "message", id, "code", code, "reason", text, "error", err)
	h := nats.Header{micro.ErrorCodeHeader: {code}, micro.ErrorHeader: {text}}
	if id != "" && checkID(id, maxID) == nil {
		h[HeaderMessageID] = []string{id}
	}
	if e.safe(in.Reply) {
		e.answer(in, h, nil)
	}
}

// safe reports whether the gateway may write to a caller's reply subject. The
// caller chooses it and the gateway's rights publish to it: a reply subject
// like that of a JetStream request would have the gateway make that request. A
// refusal also goes to inboxes that the policy does not allow, so that their
// callers need not wait: an inbox begins with _ (nats.go, NewInbox; _R_ across
// accounts).
func (e endpoint) safe(subject string) bool {
	if subject == "" || checkSubject(HeaderReplyTo, subject) != nil {
		return false
	}
	return strings.HasPrefix(subject, "_") || e.session.gateway.policy.Check(e.source, subject) == nil
}

func (e endpoint) answer(in *nats.Msg, h nats.Header, data []byte) {
	if err := e.session.gateway.conn.PublishMsg(&nats.Msg{Subject: in.Reply, Header: h, Data: data}); err != nil {
		e.session.gateway.config.Logger.Warn("gateway: answering failed", "source", e.source, "lane", e.lane, "error", err)
	}
}
