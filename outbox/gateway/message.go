package gateway

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/publish"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

var (
	errNoInbox = &outbox.ContractError{Part: "request", Reason: "has no reply subject: use a NATS request, or publish to the send endpoint"}
	errNoKeys  = &outbox.ContractError{Part: contract.HeaderOrderKey, Reason: "cannot be used here: the gateway has no order secret (order.secret_file)"}
)

// store stores a request. The Receipt has the ID also beside an error, as far
// as it is known.
func (e endpoint) store(in *nats.Msg) (outbox.Receipt, error) {
	g := e.session.gateway
	if in.Reply != "" {
		// Also for a SEND, whose receipt goes there.
		if err := g.policy.Check(e.source, in.Reply); err != nil {
			return outbox.Receipt{}, inboxRefused(err)
		}
	}
	m, err := e.message(in)
	if err != nil {
		return outbox.Receipt{}, err
	}
	if m.ReplyTo != "" {
		if err := g.policy.Check(e.source, m.ReplyTo); err != nil {
			return outbox.Receipt{ID: m.ID}, err
		}
	}
	ctx, cancel := context.WithTimeout(e.session.ctx, storeTimeout)
	defer cancel()
	receipt, err := g.publisher.Publish(ctx, m)
	if err == nil && receipt.Duplicate && !receipt.Repeated && e.lane == contract.LaneRequest {
		return receipt, outbox.ErrDuplicate // the reply goes to whoever was first
	}
	return receipt, err
}

// inboxRefused names what the caller gave, which was no header, and where it is allowed.
func inboxRefused(err error) error {
	var refused *outbox.ContractError
	if errors.As(err, &refused) {
		return &outbox.ContractError{Part: "the reply subject of the request", Reason: refused.Reason + "; reply.allow of the gateway says which it takes"}
	}
	return err
}

// message reads a request as if it had been stored.
func (e endpoint) message(in *nats.Msg) (outbox.Message, error) {
	g := e.session.gateway
	m, err := outbox.DecodeRequest(g.config.Prefix, e.source, e.lane, in)
	if err != nil {
		return m, err
	}
	if err := (outbox.HeaderPolicy{Allow: g.config.HeaderAllow}).Check(m.Header); err != nil {
		return m, err
	}
	if m.OrderKey != "" && len(g.config.OrderSecret) == 0 {
		return m, errNoKeys
	}
	m.ClearReply = true // who asks has no ring
	if e.lane == contract.LaneRequest {
		if m.ReplyTo == "" {
			return m, errNoInbox
		}
		if m.Deadline.IsZero() {
			m.Deadline = g.now().Add(g.config.MaxWait)
		}
	}
	return m, nil
}

// now is Config.Now; where it panics, this host's clock.
func (g *Gateway) now() (now time.Time) {
	defer func() {
		if p := recover(); p != nil {
			now = time.Now()
		}
	}()
	return g.config.Now()
}

// fault is the safe answer to a failure: an HTTP status code and one line.
func fault(err error) (code, text string) {
	var refused *outbox.ContractError
	var size *outbox.SizeError
	switch {
	case errors.As(err, &refused):
		return "400", refused.SafeError()
	case errors.Is(err, outbox.ErrInDoubt):
		return "503", "the message may be stored, and the queue may have forgotten its id: sent again, it may reach Redox twice"
	case errors.Is(err, publish.ErrMayBeStored):
		return "503", notForCertain
	case errors.Is(err, seal.ErrAway), errors.Is(err, seal.ErrNoKey):
		return "503", "the gateway has no key to seal with at present; nothing was stored: send it again later"
	case errors.As(err, &size):
		return "413", strings.TrimPrefix(size.Error(), "outbox: ")
	case errors.Is(err, outbox.ErrDuplicate):
		return "409", "a message of this source was already published under this id; its reply goes to its first caller"
	case errors.Is(err, outbox.ErrShareFull):
		return "503", "the source has its share of the queue; nothing was stored: send it again when some of its messages are delivered"
	case errors.Is(err, outbox.ErrQueueFull):
		return "503", "the queue is full; nothing was stored"
	case errors.Is(err, outbox.ErrNoStream):
		return "503", "the queue does not exist or does not run"
	case errors.Is(err, outbox.ErrPermission):
		return "500", "the gateway may not publish for this source"
	case errors.Is(err, errCrowded):
		return "503", "too many requests of the source wait to be stored; nothing was stored: send it again later"
	case errors.Is(err, errStopping):
		return "503", "the gateway is stopping; nothing was stored: send it again"
	default:
		return "503", notForCertain
	}
}

const notForCertain = "the message could not be stored for certain; send it again with the same " + contract.HeaderMessageID
