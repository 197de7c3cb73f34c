package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/publish"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// awaitLook is how often Await reads the stored replies while it waits: a connection that breaks
// may miss the next one.
const awaitLook = 2 * time.Second

// Request publishes m, as a REQUEST unless its Lane says otherwise, and waits
// for its reply until ctx ends.
//
// Without m.ReplyTo the reply comes to an inbox: it is lost when this process ends or is not connected, and a REQUEST
// without a deadline gets that of ctx, since nobody waits after it. With m.ReplyTo under redox.reply.<source>. the
// reply is stored for a day: the same Request again, with the same ID, or Await finds it, and nothing is published
// again. For a message whose dead letter was replayed, that is the latest answer; see [Reply.ReplayOf]. Use a subject
// of its own for each message. A body that is too large for the reply is in the object store. Request removes that of
// a reply to its own inbox after reading it, if the publisher has ClaimCheck and so the right to. All others stay as
// long as a stored reply names them, or for bodies.orphan_after.
//
// A Reply is returned for every settlement; see [Reply.OK]. Errors beside
// those of Publish: [ErrDuplicate], and [ErrNoReply] when the wait ended
// first; ErrBodyMissing and the like beside a Reply whose body could not be
// fetched from the object store; [ErrUnsealedReply] beside one that PublisherConfig.RequireSeal refuses.
func (p *Publisher) Request(ctx context.Context, m Message) (Reply, error) {
	ctx, cancel := bounded(ctx, p.config.Wait)
	defer cancel()
	if m.Lane == "" {
		m.Lane = contract.LaneRequest
	}
	if m.ID == "" {
		m.ID = NewID()
	}
	if p.config.Prefix.IsReplySubject(m.ReplyTo) {
		// The worker would refuse it and have no subject left to say so.
		if err := (ReplyPolicy{Prefix: p.config.Prefix}).Check(m.Source, m.ReplyTo); err != nil {
			return Reply{}, err
		}
		return p.await(ctx, m.ReplyTo, m.ID, func() error { _, err := p.publish(ctx, m); return err })
	}
	if at, ok := ctx.Deadline(); ok && m.Lane == contract.LaneRequest && m.Deadline.IsZero() {
		m.Deadline = at
	}
	private := m.ReplyTo == ""
	if private {
		m.ReplyTo = p.js.Conn().NewInbox()
	}
	sub, err := p.subscribe(ctx, m.ReplyTo)
	if err != nil {
		return Reply{}, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	receipt, err := p.publish(ctx, m)
	if err != nil {
		return Reply{}, err
	}
	if receipt.Duplicate && !receipt.Repeated {
		return Reply{}, fmt.Errorf("outbox: message %s of source %s: %w", m.ID, m.Source, ErrDuplicate)
	}
	for {
		r, found, err := p.next(ctx, ctx, sub, m.Source, m.ID)
		if found && err == nil && private {
			p.discardReply(ctx, r, p.config.Prefix.ReplyBodyName(m.Source, m.ID, receipt.Sequence))
		}
		if found || err != nil {
			return r, err
		}
	}
}

// discardReply removes the body of a reply that nobody else can know of, if it is the one
// that a worker would have stored: anybody may write to an inbox. What stays is collected.
func (p *Publisher) discardReply(ctx context.Context, r Reply, own string) {
	if r.BodyObject != own && !strings.HasPrefix(r.BodyObject, own+"-") || !p.config.ClaimCheck || p.config.LeaveBodies {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jsapi.Timeout)
	defer cancel()
	_ = p.bodies.Delete(ctx, r.BodyObject)
}

// Await returns the durable reply on a subject under redox.reply.<source>.: the last one that is
// stored, else the next one. It needs the rights to subscribe to that subject and to read it alone
// from the stream of replies ($JS.API.DIRECT.GET.REDOX_REPLIES.<subject>). It may be called any
// number of times, by any process.
func (p *Publisher) Await(ctx context.Context, subject string) (Reply, error) {
	ctx, cancel := bounded(ctx, p.config.Wait)
	defer cancel()
	if !p.config.Prefix.IsReplySubject(subject) {
		return Reply{}, &ContractError{Part: contract.HeaderReplyTo, Reason: "is not under " + p.config.Prefix.String() + ".reply."}
	}
	if err := checkSubject(contract.HeaderReplyTo, subject); err != nil {
		return Reply{}, err
	}
	return p.await(ctx, subject, "", func() error { return nil })
}

// await looks for the reply to message id or its latest replay, of any message if id is
// empty. It calls ask once it is subscribed, unless the reply is there already: a quick
// reply may be passed on before it is stored.
func (p *Publisher) await(ctx context.Context, subject, id string, ask func() error) (Reply, error) {
	sub, err := p.subscribe(ctx, subject)
	if err != nil {
		return Reply{}, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	source := p.config.Prefix.ReplySource(subject)
	if id != "" {
		if msg, err := p.storedReply(ctx, subject); err == nil && msg != nil {
			if r, ok := replyTo(msg, id); ok {
				return p.withBody(ctx, source, r)
			}
		}
	}
	if err := ask(); err != nil {
		return Reply{}, err
	}
	var missing time.Time
	for {
		msg, err := p.storedReply(ctx, subject)
		switch {
		case !errors.Is(err, ErrNoStream):
			missing = time.Time{}
		case missing.IsZero():
			missing, err = time.Now(), nil
		case time.Since(missing) < publish.MissingPatience:
			err = nil
		}
		if err != nil {
			return Reply{}, err
		}
		if msg != nil {
			if r, ok := replyTo(msg, id); ok {
				return p.withBody(ctx, source, r)
			}
		}
		look, cancel := context.WithTimeout(ctx, awaitLook)
		r, found, err := p.next(ctx, look, sub, source, id)
		cancel()
		if found || err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
			return r, err
		}
	}
}

// subscribe has the server confirm the subscription, so that it is there
// before anything is published and a refusal is known at once.
func (p *Publisher) subscribe(ctx context.Context, subject string) (*nats.Subscription, error) {
	if err := checkSubject(contract.HeaderReplyTo, subject); err != nil {
		return nil, err
	}
	sub, err := p.js.Conn().SubscribeSync(subject)
	if err != nil {
		return nil, fmt.Errorf("outbox: subscribe to replies: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	// Not connected is no error: the client subscribes when it is.
	if err := p.js.Conn().FlushWithContext(ctx); err == nil && jsapi.RefusedSubscription(p.js.Conn(), subject) {
		_ = sub.Unsubscribe()
		return nil, fmt.Errorf("outbox: subscribe to replies: %w: allow this user to subscribe to its reply subjects", ErrPermission)
	}
	return sub, nil
}

// next returns the next reply that comes to sub before look ends, with its body, for which
// it takes the time of ctx. Not found without an error means that something else came:
// anybody may publish to an inbox.
func (p *Publisher) next(ctx, look context.Context, sub *nats.Subscription, source, id string) (r Reply, found bool, err error) {
	msg, err := sub.NextMsgWithContext(look)
	switch {
	case err == nil:
		if r, found = replyTo(msg, id); !found {
			return Reply{}, false, nil
		}
		r, err = p.withBody(ctx, source, r)
		return r, true, err
	case look.Err() != nil:
		err = context.Cause(look)
	case errors.Is(err, nats.ErrSlowConsumer):
		return Reply{}, false, nil
	}
	what := "reply"
	if id != "" {
		what = "message " + id + " is stored"
	}
	return Reply{}, false, fmt.Errorf("outbox: %s: %w: %w", what, ErrNoReply, err)
}

// replyTo reads the reply to a message or to a replay of it.
func replyTo(msg *nats.Msg, id string) (Reply, bool) {
	r, err := DecodeReply(msg)
	return r, err == nil && (id == "" || r.MessageID == id || r.ReplayOf == id)
}

// storedReply reads the last reply on a subject from the stream; nil when
// there is none or no answer. It asks for that subject alone, so that rights
// can be given by subject (ADR-31).
func (p *Publisher) storedReply(ctx context.Context, subject string) (*nats.Msg, error) {
	ask, cancel := context.WithTimeout(ctx, awaitLook)
	defer cancel()
	api := jsapi.APIPrefix(p.js) + "DIRECT.GET." + p.config.Prefix.ReplyStream() + "." + subject
	msg, err := p.js.Conn().RequestWithContext(ask, api, nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("outbox: read the replies: %w: stream %s is missing: run `redoxworker provision`", ErrNoStream, p.config.Prefix.ReplyStream())
	case err != nil && jsapi.Refused(p.js.Conn(), api):
		return nil, fmt.Errorf("outbox: read the replies: %w: allow this user to publish to %sDIRECT.GET.%s.<its reply subjects>",
			ErrPermission, jsapi.APIPrefix(p.js), p.config.Prefix.ReplyStream())
	case err != nil, wire.First(msg.Header, "Status") != "": // 404 and 408: none
		return nil, nil
	}
	return msg, nil
}

// withBody opens a sealed reply, and fetches its body from the object store if it is there.
func (p *Publisher) withBody(ctx context.Context, source string, r Reply) (Reply, error) {
	if err := r.mustBeSealed(p.config.RequireSeal); err != nil {
		return r, err
	}
	r, opening, err := r.Open(p.config.Ring, p.config.Prefix, source)
	if err != nil || r.BodyObject == "" {
		return r, err
	}
	return r, r.fetch(ctx, p.bodies, opening, p.config.MaxClaim, p.config.LeaveBodies)
}

// mustBeSealed refuses a reply that is not sealed. That to a message which breaks the contract need not be: a worker
// has no answer to seal then, and what somebody else has put there as one is left out.
func (r *Reply) mustBeSealed(require bool) error {
	switch {
	case !require || r.Sealed():
		return nil
	case r.Settlement == Poison:
		r.ContentType, r.Header, r.Body, r.BodyObject = mediaProblem, nil, r.problem(), ""
		return nil
	}
	r.ContentType, r.Header, r.Body, r.BodyObject = "", nil, nil, ""
	return fmt.Errorf("outbox: message %s: %w", r.MessageID, ErrUnsealedReply)
}

// fetch reads the body of an opened reply from the object store, unless it is to be left there.
func (r *Reply) fetch(ctx context.Context, bodies *Bodies, opening Opening, limit int64, leave bool) (err error) {
	if leave {
		if opening.Sealed() {
			r.Unseal = opening.Reader
		}
		return nil
	}
	if r.Body, err = bodies.GetOpened(ctx, r.BodyObject, limit, opening); err != nil {
		return fmt.Errorf("outbox: the body of the reply to message %s: %w", r.MessageID, err)
	}
	return nil
}
