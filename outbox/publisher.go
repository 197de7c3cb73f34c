package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// PublisherConfig is what a Publisher may be told. The zero value works for messages
// without an order key.
type PublisherConfig struct {
	// Prefix of subjects and streams. Empty means redox.
	Prefix Prefix
	// OrderSecret turns order keys into tokens, at least 16 bytes; everybody who
	// publishes for a source needs the same. nil refuses messages with an order key.
	OrderSecret []byte
	// Timeout bounds a Publish whose context has no deadline. 0 means 30 s.
	Timeout time.Duration
	// ClaimCheck puts bodies over the server's max_payload into the object store. Without
	// it they are refused with a *SizeError. It takes rights on that store.
	ClaimCheck bool
	// MaxClaim bounds a reply's body in the object store, in bytes. 0 means 64 MiB.
	MaxClaim int64
}

// Publisher stores messages in the work queue. It is safe for concurrent use.
type Publisher struct {
	js     jetstream.JetStream
	conn   *nats.Conn
	config PublisherConfig
	bodies *Bodies
}

// Receipt says that the work queue has a message.
type Receipt struct {
	ID       string `json:"id"`
	Stream   string `json:"stream"`
	Sequence uint64 `json:"sequence"`
	// Duplicate: the queue already held a message of this id, and Sequence is its. That
	// may be this very message, stored by a try whose confirmation was lost.
	Duplicate bool `json:"duplicate"`

	repeated bool // more than one try: Duplicate proves nothing
}

// foreign reports whether the id was surely published before this message.
func (r Receipt) foreign() bool { return r.Duplicate && !r.repeated }

const (
	defaultPublishTimeout = 30 * time.Second
	publishTry            = 5 * time.Second // one try, before it is repeated
	publishPause          = 250 * time.Millisecond
	noStreamPatience      = 5 * time.Second // a server that restarts has no stream for a moment
	defaultMaxClaim       = 64 << 20
	maxPayloadName        = "max_payload of the NATS server"
)

// NewPublisher returns a publisher on js. It touches nothing yet.
func NewPublisher(js jetstream.JetStream, cfg PublisherConfig) (*Publisher, error) {
	if js == nil {
		return nil, errors.New("outbox: NewPublisher needs a JetStream context")
	}
	if err := cfg.Prefix.Validate(); err != nil {
		return nil, err
	}
	if cfg.OrderSecret != nil {
		if err := checkOrderSecret(cfg.OrderSecret); err != nil {
			return nil, err
		}
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultPublishTimeout)
	cfg.MaxClaim = cmp.Or(cfg.MaxClaim, defaultMaxClaim)
	return &Publisher{js: js, conn: js.Conn(), config: cfg, bodies: NewBodies(js, cfg.Prefix)}, nil
}

// Publish stores m and returns when the server has confirmed it. An ID is made when m has
// none, a token when it has an order key. While no confirmation comes, the write is
// repeated with the same id, which the queue recognises, until ctx ends: an error does not
// prove that nothing was stored, so publish again with the same ID. m.Body must not change
// meanwhile.
//
// Errors: *[ContractError], *[SizeError], [ErrQueueFull], [ErrNoStream], [ErrPermission].
func (p *Publisher) Publish(ctx context.Context, m Message) (Receipt, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.config.Timeout)
		defer cancel()
	}
	msg, err := p.encode(ctx, &m)
	if err != nil {
		return Receipt{}, err
	}
	ack, tries, err := p.store(ctx, msg)
	if err != nil {
		return Receipt{}, fmt.Errorf("outbox: publishing message %s of source %s: %w", m.ID, m.Source, err)
	}
	return Receipt{ID: m.ID, Stream: ack.Stream, Sequence: ack.Sequence, Duplicate: ack.Duplicate, repeated: tries > 1}, nil
}

// encode completes m and makes its NATS message, through the claim check where it must.
func (p *Publisher) encode(ctx context.Context, m *Message) (*nats.Msg, error) {
	if m.ID == "" {
		m.ID = NewID()
	}
	if m.OrderKey != "" {
		if p.config.OrderSecret == nil {
			return nil, errors.New("outbox: a message has an order key and the publisher no order secret: set PublisherConfig.OrderSecret (order.secret)")
		}
		token, err := OrderToken(p.config.OrderSecret, m.OrderKey)
		if err != nil {
			return nil, err
		}
		m.OrderKey, m.OrderToken = "", token
	}
	msg, err := m.Encode(p.config.Prefix)
	if err != nil {
		return nil, err
	}
	size, limit := payload(msg), p.conn.MaxPayload()
	if size <= limit || limit == 0 {
		return msg, nil
	}
	if !p.config.ClaimCheck || m.BodyObject != "" {
		return nil, &SizeError{What: "message", Size: size, Limit: limit, Name: maxPayloadName}
	}
	m.BodyObject = BodyName(m.Source, m.ID)
	if err := p.bodies.Put(ctx, m.BodyObject, m.Body); err != nil {
		return nil, err
	}
	m.Body = nil
	return m.Encode(p.config.Prefix)
}

// BodyName is the name of the claim check of a message: below its source, since a worker
// takes a claim only from there.
func BodyName(source, id string) string { return source + "/" + id }

// payload is what the server counts against max_payload: headers and body.
func payload(msg *nats.Msg) int64 {
	return int64(msg.Size() - len(msg.Subject) - len(msg.Reply))
}

// store publishes until it is confirmed, refused or ctx ends.
func (p *Publisher) store(ctx context.Context, msg *nats.Msg) (ack *jetstream.PubAck, tries int, err error) {
	start := time.Now()
	var missing error // what a server that restarts would mend
	for {
		tries++
		try, cancel := context.WithTimeout(ctx, publishTry)
		ack, err = p.js.PublishMsg(try, msg)
		cancel()
		if err == nil {
			return ack, tries, nil
		}
		final := p.refusal(msg.Subject, err)
		if errors.Is(final, ErrNoStream) && time.Since(start) < noStreamPatience {
			missing, final = final, nil
		}
		if final != nil {
			return nil, tries, final
		}
		timer := time.NewTimer(publishPause)
		select {
		case <-timer.C:
			continue
		case <-ctx.Done():
			timer.Stop()
		}
		if missing != nil {
			return nil, tries, missing
		}
		return nil, tries, fmt.Errorf("not confirmed by the NATS server (%w); it may be stored, so publish again with the same id", err)
	}
}

// refusal is the error that repeating will not mend; nil for what it may.
func (p *Publisher) refusal(subject string, err error) error {
	switch code := apiCode(err); {
	case code == codeStoreFailed || code == codeInsufficientResources || code == codeAccountResources ||
		code == codeMemoryResources || code == codeStorageResources:
		return fmt.Errorf("%w: %w", ErrQueueFull, err)
	case code == codeMessageTooLarge, errors.Is(err, nats.ErrMaxPayload):
		return &SizeError{What: "message", Size: -1, Limit: p.conn.MaxPayload(), Name: maxPayloadName}
	case busy(err):
		return nil
	case code != 0:
		return err
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: run `redoxworker provision`: %w", ErrNoStream, err)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrInvalidConnection):
		return err
	}
	return p.denied(subject)
}

// busy reports whether the server said that it cannot store the message just now: no
// leader yet, too many requests.
func busy(err error) bool {
	var e jetstream.JetStreamError
	if !errors.As(err, &e) || e.APIError() == nil {
		return false
	}
	code := e.APIError().Code
	return code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout
}

// denied looks for the permission violation behind a timeout: the server reports it on the
// connection, not as an answer.
func (p *Publisher) denied(subject string) error {
	last := p.conn.LastError()
	if last == nil || !strings.Contains(strings.ToLower(last.Error()), "permissions violation") ||
		!strings.Contains(last.Error(), strconv.Quote(subject)) {
		return nil
	}
	return fmt.Errorf("%w: this user may not publish to %s", ErrPermission, subject)
}
