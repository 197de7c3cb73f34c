package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	defaultPublishTimeout = 30 * time.Second
	defaultWait           = 150 * time.Second
	defaultMaxClaim       = 64 << 20
	maxPayloadName        = "max_payload of the NATS server"
)

// PublisherConfig is what a Publisher may be told. The zero value works for
// messages without an order key.
type PublisherConfig struct {
	// Prefix of subjects and streams. Empty means redox.
	Prefix Prefix
	// OrderSecret turns order keys into tokens, at least 16 bytes; see
	// [OrderToken]. Empty refuses messages with an order key. It also keys the ids by
	// which the queue knows repeats: without it, a client that may publish for another
	// source can guess one and so suppress a message of this one. A repeat is
	// recognised only under the same secret.
	OrderSecret []byte
	// Timeout bounds a Publish whose context has no deadline. 0 means 30 s, -1
	// no bound but that of the repeats; see Publish.
	Timeout time.Duration
	// Wait bounds a Request or Await whose context has no deadline. 0 means
	// 150 s, -1 no bound.
	Wait time.Duration
	// MaxBody refuses larger bodies, in bytes: the redox.max_body of the workers,
	// which would refuse them later. 0 and -1 mean only the limits of NATS.
	MaxBody int64
	// ClaimCheck puts the body of a message over the server's max_payload into
	// the object store; without it such a message is refused with a *SizeError.
	// It takes rights on that store.
	ClaimCheck bool
	// MaxClaim bounds a reply's body in the object store, in bytes. 0 means
	// 64 MiB, -1 no bound.
	MaxClaim int64
}

// WithDefaults returns a copy in which every zero field has its default.
func (c PublisherConfig) WithDefaults() PublisherConfig {
	c.Timeout = cmp.Or(c.Timeout, defaultPublishTimeout)
	c.Wait = cmp.Or(c.Wait, defaultWait)
	c.MaxBody = cmp.Or(c.MaxBody, -1)
	c.MaxClaim = cmp.Or(c.MaxClaim, defaultMaxClaim)
	return c
}

// Validate reports every field that cannot work.
func (c PublisherConfig) Validate() error {
	errs := []error{c.Prefix.Validate()}
	if len(c.OrderSecret) > 0 {
		errs = append(errs, checkOrderSecret(c.OrderSecret))
	}
	for _, f := range []struct {
		name  string
		value int64
	}{{"Timeout", int64(c.Timeout)}, {"Wait", int64(c.Wait)}, {"MaxBody", c.MaxBody}, {"MaxClaim", c.MaxClaim}} {
		if f.value < -1 {
			errs = append(errs, fmt.Errorf("outbox: %s %d: use more than 0, 0 for the default or -1 for no bound", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}

// Publisher stores messages in the work queue and reads replies. It is safe
// for concurrent use.
type Publisher struct {
	js     jetstream.JetStream
	conn   *nats.Conn
	config PublisherConfig
	bodies *Bodies
}

// Receipt says where the work queue has a message.
type Receipt struct {
	ID       string `json:"id"`
	Stream   string `json:"stream"`
	Sequence uint64 `json:"sequence"`
	// Duplicate: the queue had taken a message of this source and id before, as Sequence;
	// this one was dropped. The queue remembers ids for ten minutes. At a restart
	// a single server forgets those of messages that are settled, as does a
	// cluster all of whose servers were down at once: then this is false.
	Duplicate bool `json:"duplicate"`
}

// NewPublisher returns a publisher on js. It makes no request.
func NewPublisher(js jetstream.JetStream, cfg PublisherConfig) (*Publisher, error) {
	if js == nil {
		return nil, errors.New("outbox: NewPublisher needs a JetStream context")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Publisher{js: js, conn: js.Conn(), config: cfg.WithDefaults(), bodies: NewBodies(js, cfg.Prefix)}, nil
}

// Publish stores m and returns when the server has confirmed it. It makes an
// id when m has none, and the token of an order key. m.Body must not change
// meanwhile.
//
// Until a confirmation comes the write is repeated under the same id, which
// the queue recognises, as long as ctx lasts and the queue surely remembers
// the id: for nine minutes, and on a single server until that is restarted.
// After that the error is [ErrInDoubt], unless the message is a REQUEST, which
// may be asked twice.
//
// So an error after a timeout does not prove that nothing was stored: publish
// again with the ID of the Receipt, which is set also beside an error. If it
// is ErrInDoubt, the message may then be sent twice.
//
// Errors: *[ContractError], *[SizeError], [ErrQueueFull], [ErrNoStream],
// [ErrPermission], [ErrInDoubt], else the reason for which ctx ended.
func (p *Publisher) Publish(ctx context.Context, m Message) (Receipt, error) {
	ctx, cancel := bounded(ctx, p.config.Timeout)
	defer cancel()
	receipt, _, err := p.publish(ctx, m)
	return receipt, err
}

// bounded gives ctx a deadline when it has none; a negative bound is none.
func bounded(ctx context.Context, bound time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok || bound < 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, bound, timeoutError(bound))
}

// timeoutError says whose timeout it was.
type timeoutError time.Duration

func (t timeoutError) Error() string {
	return "timed out after " + time.Duration(t).String() + ", the default where the context has no deadline"
}

func (t timeoutError) Unwrap() error { return context.DeadlineExceeded }

// publish stores m. repeated reports that the write was sent more than once:
// a duplicate may then be this call's own.
func (p *Publisher) publish(ctx context.Context, m Message) (receipt Receipt, repeated bool, err error) {
	if m.ID == "" {
		m.ID = NewID()
	}
	receipt.ID = m.ID
	if err := p.tokenize(&m); err != nil {
		return receipt, false, err
	}
	s := sending{publisher: p, source: m.Source, query: m.Lane == LaneRequest}
	if s.msg, err = p.encode(m); err != nil {
		return receipt, false, err
	}
	if p.config.MaxBody >= 0 && int64(len(m.Body)) > p.config.MaxBody {
		return receipt, false, &SizeError{What: "body", Size: int64(len(m.Body)), Limit: p.config.MaxBody, Name: "MaxBody of the publisher"}
	}
	// The server's limit is known only while there is a connection.
	if err := s.connected(ctx); err != nil {
		return receipt, false, fmt.Errorf("outbox: publish message %s of source %s: %w", m.ID, m.Source, err)
	}
	if err := p.fit(ctx, &m, &s); err != nil {
		return receipt, false, err
	}
	ack, err := s.run(ctx)
	if err != nil {
		p.discard(ctx, &s)
		if errors.As(err, new(*SizeError)) {
			return receipt, false, err
		}
		return receipt, s.tries > 1, fmt.Errorf("outbox: publish message %s of source %s: %w", m.ID, m.Source, err)
	}
	if ack.Duplicate {
		p.discard(ctx, &s)
	}
	receipt.Stream, receipt.Sequence, receipt.Duplicate = ack.Stream, ack.Sequence, ack.Duplicate
	return receipt, s.tries > 1, nil
}

// encode makes the message as the queue stores it.
func (p *Publisher) encode(m Message) (*nats.Msg, error) {
	msg, err := m.Encode(p.config.Prefix)
	if err == nil {
		msg.Header[HeaderID] = []string{dedupID(p.config.OrderSecret, m.Source, m.ID)}
	}
	return msg, err
}

func (p *Publisher) tokenize(m *Message) error {
	if m.OrderKey == "" {
		return nil
	}
	if len(p.config.OrderSecret) == 0 {
		return errNoOrderSecret
	}
	token, err := OrderToken(p.config.OrderSecret, m.OrderKey)
	if err != nil {
		return err
	}
	if m.OrderToken != "" && m.OrderToken != token {
		return &ContractError{Part: HeaderOrderToken, Reason: "is not that of the order key: give one of the two"}
	}
	m.OrderKey, m.OrderToken = "", token
	return nil
}

var errNoOrderSecret = errors.New("outbox: the message has an order key, but there is no order secret to make its token with: set OrderSecret (order.secret_file)")

// fit moves the body of a message that is too large for the server into the
// object store, if that is allowed.
func (p *Publisher) fit(ctx context.Context, m *Message, s *sending) error {
	size, limit := payload(s.msg), p.conn.MaxPayload()
	if size <= limit {
		return nil
	}
	tooLarge := &SizeError{What: "message", Size: size, Limit: limit, Name: maxPayloadName}
	if !p.config.ClaimCheck || len(m.Body) == 0 {
		return tooLarge
	}
	// A name of its own for each call: a repeated id must not replace the body
	// of the message that is stored already.
	body := m.Body
	m.Body, m.BodyObject = nil, BodyName(m.Source, NewID())
	var err error
	if s.msg, err = p.encode(*m); err != nil {
		return err
	}
	if payload(s.msg) > limit {
		return tooLarge
	}
	s.object = m.BodyObject
	return p.store(ctx, s.object, body)
}

// store puts a body into the object store, again from the start when the store did not
// answer: its leader may just be elected.
func (p *Publisher) store(ctx context.Context, object string, body []byte) error {
	for try := 1; ; try++ {
		err := p.bodies.Put(ctx, object, body)
		if err == nil || !mayPass(err) || try == leaderTries || !sleep(ctx, leaderPause<<try) {
			return err
		}
	}
}

// discard deletes the object of a message that surely was not stored, or stored
// before by somebody else, with an object of its own. What may be needed, or is left when
// that fails, is collected when it is old; see [Bodies.Collect].
func (p *Publisher) discard(ctx context.Context, s *sending) {
	if s.object == "" || s.doubt {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiTimeout)
	defer cancel()
	_ = p.bodies.Delete(ctx, s.object)
}

// payload is what the server counts against max_payload: the header block and
// the body (NATS client protocol, HPUB).
func payload(msg *nats.Msg) int64 {
	n := len(msg.Data)
	if len(msg.Header) > 0 {
		n += len("NATS/1.0\r\n") + len("\r\n")
	}
	for name, values := range msg.Header {
		for _, v := range values {
			n += len(name) + len(": ") + len(v) + len("\r\n")
		}
	}
	return int64(n)
}
