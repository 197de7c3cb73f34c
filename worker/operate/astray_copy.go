package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// Target is where messages astray are moved.
type Target struct {
	// Source that is to send them; "" leaves each with its own.
	Source string
	// Lane is LaneSend or LaneRequest for those whose subject has none, and "" leaves these where they
	// are. An order token, in the subject or in its header, stays.
	Lane contract.Lane
	// DropReplies moves also messages whose reply subject belongs to their old source, without it: nobody
	// is told what comes of them. Else they are left.
	DropReplies bool
}

// Validate reports what no message can be moved to.
func (t Target) Validate() error {
	if t.Lane != "" && t.Lane != contract.LaneSend && t.Lane != contract.LaneRequest {
		return errors.New("worker: the lane of a target is send or request")
	}
	if t.Source == "" {
		return nil
	}
	return contract.CheckSource(t.Source)
}

// copied is a message made anew for its target.
type copied struct {
	msg    *nats.Msg
	source string
	token  string // of its order
	object string // a body of another source, to be stored under this source first
}

// copyOf makes the message that is published to the target: the same body, and the same headers but for
// those that are instructions to the stream. Its id is that which it has, also where it has none of its
// own. The error says why it cannot be moved.
func (t Target) copyOf(p contract.Prefix, in outbox.Stored) (copied, error) {
	m, _ := outbox.Decode(p, in) // what is wrong with it is that nobody reads it
	c := copied{source: t.Source}
	if c.source == "" {
		c.source = m.Source
	}
	if err := contract.CheckSource(c.source); err != nil {
		return c, errors.New("its subject names no source: say which is to send it")
	}
	if c.source != m.Source && len(in.Header[contract.HeaderSeal]) > 0 {
		return c, fmt.Errorf("it is sealed for its source, and none but %s can open it: dead-letter it", cmp.Or(m.Source, "that"))
	}
	h := make(nats.Header, len(in.Header)+2)
	for name, values := range in.Header {
		if !strings.HasPrefix(strings.ToLower(name), "nats-") {
			h[name] = values
		}
	}
	mark := ledger.Mark(in)
	h[contract.HeaderID], h[contract.HeaderMessageID], h[contract.HeaderMoved] = []string{"moved:" + mark}, []string{m.ID}, []string{mark}
	lane := laneOf(p, in.Subject)
	if lane == "" {
		lane = t.Lane
	}
	subject := p.RequestSubject(c.source)
	switch lane {
	case "":
		return c, errors.New("its subject has no lane: say which it is to have")
	case contract.LaneSend, contract.LaneOrdered:
		subject = p.SendSubject(c.source)
		if c.token = tokenOf(p, in, m); c.token != "" {
			subject = p.OrderedSubject(c.source, c.token)
		}
	}
	if c.source != m.Source && m.Source != "" && strings.HasPrefix(m.ReplyTo, p.ReplySubject(m.Source, "")) {
		if !t.DropReplies {
			return c, fmt.Errorf("its reply subject belongs to %s: move it without a reply, or dead-letter it", m.Source)
		}
		delete(h, contract.HeaderReplyTo)
	}
	if m.BodyObject != "" && !strings.HasPrefix(m.BodyObject, contract.BodyName(c.source, "")) {
		c.object = contract.BodyName(c.source, "moved-"+mark)
		h[contract.HeaderBodyObject] = []string{c.object}
	}
	if _, err := outbox.Decode(p, outbox.Stored{Subject: subject, Header: h, Body: in.Body, Sequence: in.Sequence, Time: in.Time}); err != nil {
		return c, fmt.Errorf("a worker would refuse it: %w: dead-letter it", err)
	}
	c.msg = &nats.Msg{Subject: subject, Header: h, Data: in.Body}
	return c, nil
}

// laneOf is that of a subject, whatever its source is called.
func laneOf(p contract.Prefix, subject string) contract.Lane {
	_, rest, _ := strings.Cut(strings.TrimPrefix(subject, p.String()+".out."), ".")
	_, lane, _, _ := p.ParseOut(p.String() + ".out.x." + rest) // none without an error
	return lane
}

// tokenOf is the order token of a message: that of its subject, whatever stands before it, else that of
// its header.
func tokenOf(p contract.Prefix, in outbox.Stored, m outbox.Message) string {
	last := in.Subject[strings.LastIndexByte(in.Subject, '.')+1:]
	for _, token := range []string{last, m.OrderToken} {
		if _, lane, _, err := p.ParseOut(p.OrderedSubject("x", token)); err == nil && lane == contract.LaneOrdered {
			return token
		}
	}
	return ""
}

// letterOf is the dead letter of a message astray: poison where its subject breaks the contract, held
// where no worker serves its source, so that a person decides.
func letterOf(p contract.Prefix, in outbox.Stored, why, by string, rec ledger.Record) dlq.Letter {
	m, err := outbox.Decode(p, in)
	l := dlq.Letter{Header: in.Header, Body: in.Body, MessageID: m.ID, Source: m.Source, Settlement: outbox.Held, Status: rec.Status, Attempts: rec.Attempts + rec.Started,
		Error: why + "; taken out of the queue by an operator", At: time.Now(), Subject: in.Subject, Sequence: in.Sequence, Worker: by}
	if err != nil {
		l.Settlement = outbox.Poison
	}
	if rec.Started > 0 || rec.Unknown || rec.Intent {
		l.Error += "; an attempt may have reached Redox"
	}
	return l
}

// fits puts the body of a message aside where it does not fit beside its headers.
func (r *strayRun) fits(ctx context.Context, msg *nats.Msg, name string) error {
	if limit := r.desk.js.Conn().MaxPayload(); int64(msg.Size()-len(msg.Subject)-len(msg.Reply)) <= limit || len(msg.Data) == 0 {
		return nil
	}
	if err := r.bodies.Put(ctx, name, msg.Data); err != nil {
		return err
	}
	msg.Data = nil
	msg.Header[contract.HeaderBodyObject] = []string{name}
	return nil
}
