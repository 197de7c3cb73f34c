package outbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/publish"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

const (
	defaultWait     = 150 * time.Second
	defaultMaxClaim = 64 << 20
)

// PublisherConfig configures a Publisher. The zero value works for messages without an order key.
type PublisherConfig struct {
	// Prefix of subjects and streams. Empty means redox.
	Prefix contract.Prefix
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
	// ClaimCheck puts a body over the server's max_payload into the object store. Without it such a
	// message is refused with a *SizeError. It takes rights on that store.
	ClaimCheck bool
	// MaxClaim bounds a reply's body in the object store, in bytes. 0 means
	// 64 MiB, -1 no bound.
	MaxClaim int64
	// LeaveBodies has Request and Await leave a body in the object store: the Reply then has a
	// BodyObject and no Body. Read it with [Bodies.Open], whatever its size, and remove it with
	// [Bodies.Delete].
	LeaveBodies bool
	// MaxShare is the part of a bounded queue (queue.max_bytes, queue.max_msgs) that one source may
	// fill, above 0 to 1; beyond it messages are refused with [ErrQueueFull]. The publisher looks
	// at the queue once a second, so that many processes together may exceed the share a little. It
	// takes the right to look at the queue, which shows how much each source has there. 0 and 1
	// mean all of it.
	MaxShare float64
	// Ring seals what holds patient data before it is stored, and opens sealed replies; see package
	// seal. nil seals nothing.
	Ring *seal.Ring
	// RequireSeal refuses what is not sealed where there is no Ring, and replies that are not sealed;
	// see [ErrUnsealedReply].
	RequireSeal bool
	// Trace returns the W3C trace context for a message without one, taken from the context of the
	// publish; oteltrace.FromContext does so for OpenTelemetry. It must be safe for concurrent use.
	// If it panics the message goes without a trace context. nil means that there is none.
	Trace func(ctx context.Context) (traceparent, tracestate string)
	// Lint is asked about each message before it is stored. If it returns an error nothing is
	// stored, and Publish returns that error wrapped. It must be safe for concurrent use and must
	// not change the message. ctx is that of the publish. A panic counts as an error. The Linter of
	// package outbox/lint has two such functions, for Redox's JSON schemas: one refuses, one only
	// warns. nil asks nobody.
	Lint func(ctx context.Context, m Message) error
}

// WithDefaults returns a copy in which every zero field has its default.
func (c PublisherConfig) WithDefaults() PublisherConfig {
	c.Timeout = cmp.Or(c.Timeout, publish.Timeout)
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
	if !(c.MaxShare >= 0 && c.MaxShare <= 1) {
		errs = append(errs, fmt.Errorf("outbox: MaxShare %v: use more than 0, up to 1", c.MaxShare))
	}
	return errors.Join(errs...)
}

// Publisher stores messages in the work queue and reads replies. It is safe
// for concurrent use.
type Publisher struct {
	js     jetstream.JetStream
	config PublisherConfig
	bodies *Bodies
	shares *shares // nil without a MaxShare
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
	// Repeated: the write was sent more than once, so a Duplicate may be this call's own.
	Repeated bool `json:"-"`
}

// NewPublisher returns a publisher on js. It makes no request.
func NewPublisher(js jetstream.JetStream, cfg PublisherConfig) (*Publisher, error) {
	if js == nil {
		return nil, errors.New("outbox: NewPublisher needs a JetStream context")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p := &Publisher{js: js, config: cfg.WithDefaults(), bodies: NewBodies(js, cfg.Prefix)}
	if cfg.MaxShare > 0 && cfg.MaxShare < 1 {
		p.shares = &shares{js: js, prefix: cfg.Prefix, most: cfg.MaxShare}
	}
	return p, nil
}

// JetStream returns what the publisher publishes with.
func (p *Publisher) JetStream() jetstream.JetStream { return p.js }

// Publish stores m and returns when the server has confirmed it. It makes an
// id when m has none, and the token of an order key. m.Body must not change
// meanwhile.
//
// Publish repeats the write under the same id, which the queue recognises, until a
// confirmation comes. It does so while ctx lasts and the queue is certain to remember the
// id: for nine minutes, and on a single server until that server is restarted. After that
// the error is [ErrInDoubt], unless the message is a REQUEST, which may be asked twice.
//
// So an error after a timeout does not prove that nothing was stored: publish again with
// the ID of the Receipt, which is set even when there is an error. After ErrInDoubt the
// message may then be sent twice.
//
// Errors: *[ContractError], *[SizeError], [seal.ErrAway], [ErrQueueFull], [ErrNoStream],
// [ErrPermission], [ErrInDoubt], that of PublisherConfig.Lint, else the reason for which ctx ended.
func (p *Publisher) Publish(ctx context.Context, m Message) (Receipt, error) {
	ctx, cancel := bounded(ctx, p.config.Timeout)
	defer cancel()
	return p.publish(ctx, m)
}

// bounded gives ctx a deadline when it has none; a negative bound is none.
func bounded(ctx context.Context, bound time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok || bound < 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, bound, publish.TimeoutError(bound))
}

// publish stores m.
func (p *Publisher) publish(ctx context.Context, m Message) (receipt Receipt, err error) {
	if m.ID == "" {
		m.ID = NewID()
	}
	receipt.ID = m.ID
	p.trace(ctx, &m)
	if err := m.MakeToken(p.config.OrderSecret); err != nil {
		return receipt, err
	}
	w := publish.Message{Queue: p.queue(), Subject: p.config.Prefix.SendSubject(m.Source), Query: m.Lane == contract.LaneRequest}
	if w.Msg, err = p.encode(m); err != nil {
		return receipt, err
	}
	if p.config.MaxBody >= 0 && int64(len(m.Body)) > p.config.MaxBody {
		return receipt, &SizeError{What: "body", Size: int64(len(m.Body)), Limit: p.config.MaxBody, Name: "MaxBody of the publisher"}
	}
	if err := p.lint(ctx, m); err != nil {
		if ctx.Err() == nil {
			err = publish.Unfit{Err: err}
		}
		return receipt, fmt.Errorf("outbox: publish message %s of source %s: %w", m.ID, m.Source, err)
	}
	key, err := p.seal(&m, &w)
	if err != nil {
		return receipt, err
	}
	// The server's limit is known only while there is a connection.
	if err := w.Connected(ctx); err != nil {
		return receipt, fmt.Errorf("outbox: publish message %s of source %s: %w", m.ID, m.Source, err)
	}
	if p.shares != nil {
		if err := p.shares.check(ctx, m.Source); err != nil {
			return receipt, fmt.Errorf("outbox: publish message %s of source %s: %w", m.ID, m.Source, err)
		}
	}
	if err := p.fit(ctx, &m, &w, key); err != nil {
		return receipt, err
	}
	ack, err := w.Publish(ctx)
	receipt.Repeated = w.Repeated()
	if err != nil {
		w.Discard(ctx, p.bodies)
		if errors.As(err, new(*SizeError)) {
			return receipt, err
		}
		return receipt, fmt.Errorf("outbox: publish message %s of source %s: %w", m.ID, m.Source, err)
	}
	if ack.Duplicate {
		w.Discard(ctx, p.bodies)
	} else if p.shares != nil {
		p.shares.published(m.Source, wire.Size(w.Msg))
	}
	receipt.Stream, receipt.Sequence, receipt.Duplicate = ack.Stream, ack.Sequence, ack.Duplicate
	return receipt, nil
}

// trace has the message go with the trace of ctx, unless it has one.
func (p *Publisher) trace(ctx context.Context, m *Message) {
	if p.config.Trace == nil || m.TraceParent != "" {
		return
	}
	defer func() { _ = recover() }() // a trace is not worth a message
	m.TraceParent, m.TraceState = p.config.Trace(ctx)
}

// lint asks whoever is to judge messages. The value of a panic may hold anything.
func (p *Publisher) lint(ctx context.Context, m Message) (err error) {
	if p.config.Lint == nil || m.Sealed() { // whoever sealed it could judge it
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the publisher's Lint panicked with a %T", r)
		}
	}()
	return p.config.Lint(ctx, m)
}

func (p *Publisher) queue() publish.Queue {
	return publish.Queue{JS: p.js, Stream: p.config.Prefix.OutStream(), TooLarge: tooLarge}
}

// seal seals the headers of a message; the body is sealed with the key, which is nil where nothing is to be sealed.
func (p *Publisher) seal(m *Message, w *publish.Message) (*seal.DataKey, error) {
	switch {
	case m.Sealed():
		return nil, nil
	case p.config.Ring == nil:
		if p.config.RequireSeal {
			return nil, ErrUnsealed
		}
		return nil, nil
	}
	key, err := m.sealHead(p.config.Ring, p.config.Prefix)
	if err != nil {
		return nil, fmt.Errorf("outbox: message %s of source %s is not stored: %w", m.ID, m.Source, err)
	}
	m.sealEncoded(w.Msg)
	return &key, nil
}

// encode makes the message as the queue stores it.
func (p *Publisher) encode(m Message) (*nats.Msg, error) {
	msg, err := m.Encode(p.config.Prefix)
	if err == nil {
		msg.Header[contract.HeaderID] = []string{wire.DedupID(p.config.OrderSecret, m.Source, m.ID)}
	}
	return msg, err
}

// fit moves the body of a message that is too large for the server into the
// object store, if that is allowed.
func (p *Publisher) fit(ctx context.Context, m *Message, w *publish.Message, key *seal.DataKey) error {
	size, limit := wire.Size(w.Msg), p.js.Conn().MaxPayload()
	if key != nil {
		size += seal.Size(int64(len(m.Body))) - int64(len(m.Body))
	}
	if size <= limit {
		if key != nil {
			w.Msg.Data = key.Seal(m.Body)
		}
		return nil
	}
	if !p.config.ClaimCheck || len(m.Body) == 0 {
		return tooLarge(size, limit, publish.MaxPayloadName)
	}
	// A name of its own for each call: a repeated id must not replace the body
	// of the message that is stored already.
	body := m.Body
	m.Body, m.BodyObject = nil, contract.BodyName(m.Source, NewID())
	var err error
	if w.Msg, err = p.encode(*m); err != nil {
		return err
	}
	if wire.Size(w.Msg) > limit {
		return tooLarge(size, limit, publish.MaxPayloadName)
	}
	w.Object = m.BodyObject
	return p.store(ctx, w.Object, body, key)
}

// store puts a body into the object store, again from the start when the store did not
// answer: its leader may just be elected.
func (p *Publisher) store(ctx context.Context, object string, body []byte, key *seal.DataKey) error {
	for try := 1; ; try++ {
		var from io.Reader = bytes.NewReader(body)
		if key != nil {
			from = key.SealFrom(from, int64(len(body)))
		}
		_, err := p.bodies.PutFrom(ctx, object, from)
		if err == nil || !jsapi.MayPass(err) || try == jsapi.Tries || !jsapi.Sleep(ctx, jsapi.Pause<<try) {
			return err
		}
	}
}

func tooLarge(size, limit int64, name string) error {
	return &SizeError{What: "message", Size: size, Limit: limit, Name: name}
}
