package gateway

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// endpoint serves one source and lane.
type endpoint struct {
	session *session
	source  string
	lane    contract.Lane
}

var (
	errStopping = errors.New("the gateway is stopping")
	errCrowded  = errors.New("too many requests of the source wait")
)

// serve stores a request and answers, or says why not.
func (e endpoint) serve(in *nats.Msg) {
	if e.session.ctx.Err() != nil {
		e.refuse(in, "", errStopping)
		return
	}
	receipt, err := e.store(in)
	if err != nil {
		e.refuse(in, receipt.ID, err)
		return
	}
	e.session.stored.Add(1)
	e.session.gateway.counts.stored[slices.Index(lanes[:], e.lane)].Add(1)
	if e.lane == contract.LaneRequest || in.Reply == "" {
		return // the worker answers, or nobody wants to know
	}
	data, err := json.Marshal(receipt)
	if err != nil { // strings and numbers only: cannot happen
		return
	}
	e.answer(in, nats.Header{contract.HeaderContentType: {"application/json"}, contract.HeaderMessageID: {receipt.ID}}, data)
}

func (e endpoint) refuse(in *nats.Msg, id string, err error) {
	e.session.refused.Add(1)
	code, text := fault(err)
	e.session.gateway.counts.refused[slices.Index(codes[:], code)].Add(1)
	e.session.gateway.config.Logger.Warn("gateway: a request was not stored",
		"source", e.source, "lane", e.lane, "message", id, "code", code, "reason", text, "error", err)
	h := nats.Header{micro.ErrorCodeHeader: {code}, micro.ErrorHeader: {text}}
	if id != "" && len(id) <= wire.MaxID && wire.Visible(id) {
		h[contract.HeaderMessageID] = []string{id}
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
	if subject == "" || wire.SubjectFault(subject) != "" {
		return false
	}
	return strings.HasPrefix(subject, "_") || e.session.gateway.policy.Check(e.source, subject) == nil
}

func (e endpoint) answer(in *nats.Msg, h nats.Header, data []byte) {
	if err := e.session.gateway.conn.PublishMsg(&nats.Msg{Subject: in.Reply, Header: h, Data: data}); err != nil {
		e.session.gateway.config.Logger.Warn("gateway: answering failed", "source", e.source, "lane", e.lane, "error", err)
	}
}
