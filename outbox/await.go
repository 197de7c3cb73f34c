package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// awaitLook is how often the stored replies are looked at while a live one is awaited.
const awaitLook = 2 * time.Second

// Request publishes m, as a REQUEST unless its Lane says otherwise, and waits for its
// reply until ctx ends. The reply comes to an inbox, which is gone with this process; with
// m.ReplyTo under redox.reply.<source>. it is stored and can be read later with Await. A
// REQUEST without a deadline gets that of ctx: nobody waits after it.
//
// A Reply is returned for every settlement; see [Reply.OK]. Errors beside those of Publish:
// [ErrDuplicate], and [ErrNoReply] when the wait ended first.
func (p *Publisher) Request(ctx context.Context, m Message) (Reply, error) {
	if m.Lane == "" {
		m.Lane = LaneRequest
	}
	if at, ok := ctx.Deadline(); ok && m.Lane == LaneRequest && m.Deadline.IsZero() {
		m.Deadline = at
	}
	if p.config.Prefix.IsReplySubject(m.ReplyTo) {
		if _, err := p.Publish(ctx, m); err != nil {
			return Reply{}, err
		}
		return p.Await(ctx, m.ReplyTo)
	}
	if m.ReplyTo == "" {
		m.ReplyTo = p.conn.NewInbox()
	}
	sub, err := p.conn.SubscribeSync(m.ReplyTo)
	if err != nil {
		return Reply{}, fmt.Errorf("outbox: subscribing to the reply subject: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	receipt, err := p.Publish(ctx, m)
	if err != nil {
		return Reply{}, err
	}
	if receipt.foreign() {
		return Reply{}, fmt.Errorf("outbox: message %s of source %s: %w", receipt.ID, m.Source, ErrDuplicate)
	}
	msg, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return Reply{}, fmt.Errorf("outbox: message %s of source %s is stored: %w: %w", receipt.ID, m.Source, ErrNoReply, err)
	}
	return p.reply(ctx, msg)
}

// Await returns the durable reply on a subject under redox.reply.<source>., one that is
// stored already or the next one. It needs the right to subscribe to that subject and to
// read it directly from the stream of replies, and no other.
func (p *Publisher) Await(ctx context.Context, subject string) (Reply, error) {
	if !p.config.Prefix.IsReplySubject(subject) {
		return Reply{}, &ContractError{Part: "reply subject", Reason: "is not under " + p.config.Prefix.String() + ".reply."}
	}
	if err := checkSubject("reply subject", subject); err != nil {
		return Reply{}, err
	}
	sub, err := p.conn.SubscribeSync(subject)
	if err != nil {
		return Reply{}, fmt.Errorf("outbox: subscribing to %s: %w", subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for {
		msg, err := p.storedReply(ctx, subject)
		if msg == nil && err == nil {
			wait, cancel := context.WithTimeout(ctx, awaitLook)
			msg, _ = sub.NextMsgWithContext(wait)
			cancel()
		}
		if err != nil {
			return Reply{}, err
		}
		if msg != nil {
			return p.reply(ctx, msg)
		}
		if ctx.Err() != nil {
			return Reply{}, fmt.Errorf("outbox: reply subject %s: %w: %w", subject, ErrNoReply, context.Cause(ctx))
		}
	}
}

// storedReply reads the last reply on a subject from the stream; nil when there is none.
// It asks for that subject alone, so that permissions can be given by subject.
func (p *Publisher) storedReply(ctx context.Context, subject string) (*nats.Msg, error) {
	ask, cancel := context.WithTimeout(ctx, awaitLook)
	defer cancel()
	msg, err := p.conn.RequestWithContext(ask, p.apiPrefix()+"DIRECT.GET."+p.config.Prefix.ReplyStream()+"."+subject, nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("outbox: %w: stream %s is missing; run `redoxworker provision`", ErrNoStream, p.config.Prefix.ReplyStream())
	case err != nil:
		return nil, nil // not now: the live subscription goes on
	case first(msg.Header, "Status") != "":
		return nil, nil
	}
	return msg, nil
}

// apiPrefix is that of the JetStream API, which differs in a domain.
func (p *Publisher) apiPrefix() string {
	opts := p.js.Options()
	switch {
	case opts.APIPrefix != "":
		return opts.APIPrefix
	case opts.Domain != "":
		return "$JS." + opts.Domain + ".API."
	default:
		return "$JS.API."
	}
}

// reply decodes a reply and fetches its body from the object store where it is there.
func (p *Publisher) reply(ctx context.Context, msg *nats.Msg) (Reply, error) {
	r, err := DecodeReply(msg)
	if err != nil || r.BodyObject == "" {
		return r, err
	}
	if r.Body, err = p.bodies.Get(ctx, r.BodyObject, p.config.MaxClaim); err != nil {
		return r, fmt.Errorf("outbox: the reply to message %s: %w", r.MessageID, err)
	}
	return r, nil
}
