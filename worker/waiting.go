package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// What the head of an order is doing.
const (
	// HeadQueued: no worker has it; is one running for this source, or is it paused?
	HeadQueued = "queued"
	// HeadSending: a worker has it, or it has just been handed back.
	HeadSending = "sending"
	// HeadWaiting: an attempt failed, or was not possible; it comes again at Next.
	HeadWaiting = "waiting"
)

// OrderState is what the messages of one order token are waiting on.
type OrderState struct {
	Source string `json:"source"`
	// Token is the last part of their subject.
	Token string `json:"token"`
	// Messages stored under the token, the head included.
	Messages uint64 `json:"messages"`
	// Head is the message that all others of the token wait for.
	Head OrderHead `json:"head"`
}

// OrderHead is the first message of an order token.
type OrderHead struct {
	ID       string    `json:"id"`
	Sequence uint64    `json:"sequence"`
	Stored   time.Time `json:"stored"`
	// State is HeadQueued, HeadSending or HeadWaiting.
	State    string `json:"state"`
	Attempts int    `json:"attempts"`
	// Next is when it is tried again; zero unless it is waiting.
	Next time.Time `json:"next,omitzero"`
	// Status and Error (safe text) of the last failed attempt.
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
	// ByHand: an operator asked for it to be settled held.
	ByHand bool `json:"by_hand,omitempty"`
}

// Order looks at ordered messages of one prefix from outside, for operators. It needs the
// rights to read the queue, its consumers and the ledger. It is safe for concurrent use.
type Order struct {
	js     jetstream.JetStream
	prefix outbox.Prefix
	ledger *ledger.Ledger
}

// NewOrder makes no request.
func NewOrder(js jetstream.JetStream, p outbox.Prefix) *Order {
	return &Order{js: js, prefix: p, ledger: ledger.New(js, p)}
}

// List answers the order tokens of the source, or of all sources when it is "", with at least
// so many messages each: with 2, those where others wait behind the head. The largest come
// first, and no more than limit of them; 0 means all. It reads the head of each that it answers.
func (o *Order) List(ctx context.Context, source string, messages uint64, limit int) ([]OrderState, error) {
	if o.js == nil {
		return nil, errNoJetStream
	}
	queue, err := o.queue(ctx)
	if err != nil {
		return nil, err
	}
	crowds, err := o.crowds(ctx, queue, source, messages)
	if err != nil {
		return nil, err
	}
	states := make([]OrderState, 0, len(crowds))
	consumers := map[string]*jetstream.ConsumerInfo{}
	for _, c := range crowds {
		if limit > 0 && len(states) == limit {
			break
		}
		info, known := consumers[c.Source]
		if !known {
			if info, err = o.consumer(ctx, c.Source); err != nil {
				return nil, err
			}
			consumers[c.Source] = info
		}
		switch found, err := o.head(ctx, queue, &c, info); {
		case err != nil:
			return nil, err
		case found:
			states = append(states, c)
		}
	}
	return states, nil
}

func (o *Order) queue(ctx context.Context) (jetstream.Stream, error) {
	queue, err := o.js.Stream(ctx, o.prefix.OutStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("worker: looking for stream %s (run `redoxworker provision`): %w", o.prefix.OutStream(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("worker: looking for stream %s: %w", o.prefix.OutStream(), err)
	}
	return queue, nil
}

// crowds counts the messages of each token.
func (o *Order) crowds(ctx context.Context, queue jetstream.Stream, source string, messages uint64) ([]OrderState, error) {
	if source == "" {
		source = "*"
	}
	info, err := queue.Info(ctx, jetstream.WithSubjectFilter(o.prefix.OrderedSubject(source, "*")))
	if err != nil {
		return nil, fmt.Errorf("worker: listing the order tokens on stream %s: %w", o.prefix.OutStream(), err)
	}
	var list []OrderState
	for subject, n := range info.State.Subjects {
		if name, _, token, err := o.prefix.ParseOut(subject); err == nil && n >= messages {
			list = append(list, OrderState{Source: name, Token: token, Messages: n})
		}
	}
	slices.SortFunc(list, func(a, b OrderState) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Token, b.Token))
	})
	return list, nil
}

// consumer is what is known of that of a source's SENDs; nil when there is none.
func (o *Order) consumer(ctx context.Context, source string) (*jetstream.ConsumerInfo, error) {
	consumer, err := o.js.Consumer(ctx, o.prefix.OutStream(), o.prefix.SendConsumer(source))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("worker: looking for the consumer of source %s: %w", source, err)
	}
	return consumer.CachedInfo(), nil
}

// head reads the first message of a token, and what is known of it; found is false when all are
// settled meanwhile.
func (o *Order) head(ctx context.Context, queue jetstream.Stream, s *OrderState, info *jetstream.ConsumerInfo) (found bool, err error) {
	m, found, err := o.first(ctx, queue, s)
	if err != nil || !found {
		return false, err
	}
	return true, o.describe(ctx, m, s, info)
}

// first reads the first message of a token.
func (o *Order) first(ctx context.Context, queue jetstream.Stream, s *OrderState) (m outbox.Message, found bool, err error) {
	msg, err := queue.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(o.prefix.OrderedSubject(s.Source, s.Token)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("worker: reading the first message of an order of source %s: %w", s.Source, err)
	}
	// A breach of the contract is the worker's to settle; what can be read is enough here.
	m, _ = outbox.Decode(o.prefix, outbox.Stored{Subject: msg.Subject, Header: msg.Header, Sequence: msg.Sequence, Time: msg.Time})
	return m, true, nil
}

// describe says what the head of a token is doing.
func (o *Order) describe(ctx context.Context, m outbox.Message, s *OrderState, info *jetstream.ConsumerInfo) error {
	rec, _, err := o.ledger.Load(ctx, m)
	if errors.Is(err, ledger.ErrDamaged) {
		rec, err = ledger.Record{Error: "what the ledger knew of it cannot be read"}, nil
	}
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	s.Head = OrderHead{ID: m.ID, Sequence: m.Sequence, Stored: m.Stored, Attempts: rec.Attempts, Status: rec.Status, Error: rec.Error, State: HeadQueued}
	if s.Head.ByHand, err = o.ledger.HeldByHand(ctx, m); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	switch {
	case rec.Next.After(time.Now()):
		s.Head.State, s.Head.Next = HeadWaiting, rec.Next
	case info != nil && info.NumAckPending > 0 && info.Delivered.Stream >= m.Sequence:
		s.Head.State = HeadSending
	}
	return nil
}

// ErrNotHead is returned when the message is not, or no longer, the head of an order of
// the source.
var ErrNotHead = errors.New("worker: it is not the first message of an order of the source")

// Hold asks for the head of an order to be settled held, without another attempt, so that
// those behind it go on. A worker does it: at once when the message is waiting for its
// next attempt or nobody has it; otherwise when the attempt under way has failed. It
// answers the state the message was found in.
//
// The instruction lies in the ledger, where workers look every few seconds, and when a pause of
// the source ends: a message that one takes before that is sent. An attempt that is under way is not called back: if
// it succeeds, the message is delivered.
func (o *Order) Hold(ctx context.Context, source, id string) (OrderState, error) {
	if o.js == nil {
		return OrderState{}, errNoJetStream
	}
	queue, err := o.queue(ctx)
	if err != nil {
		return OrderState{}, err
	}
	info, err := o.consumer(ctx, source)
	if err != nil {
		return OrderState{}, err
	}
	crowds, err := o.crowds(ctx, queue, source, 1)
	if err != nil {
		return OrderState{}, err
	}
	for _, c := range crowds {
		m, found, err := o.first(ctx, queue, &c)
		if err != nil {
			return OrderState{}, err
		}
		if !found || m.ID != id {
			continue
		}
		if err := o.describe(ctx, m, &c, info); err != nil {
			return OrderState{}, err
		}
		return c, o.hold(ctx, c, info)
	}
	return OrderState{}, fmt.Errorf("%w: see `redoxworker order ls`", ErrNotHead)
}

func (o *Order) hold(ctx context.Context, s OrderState, info *jetstream.ConsumerInfo) error {
	m := outbox.Message{ID: s.Head.ID, Source: s.Source, Sequence: s.Head.Sequence, Stored: s.Head.Stored}
	if err := o.ledger.HoldByHand(ctx, m); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	if s.Head.State == HeadWaiting && info != nil {
		at := later{stream: info.Stream, consumer: info.Name, sequence: m.Sequence, delivery: info.Delivered.Consumer}
		if err := at.wake(ctx, o.js.Conn(), true); err != nil {
			return fmt.Errorf("worker: waking the head of an order: %w", err)
		}
	}
	return nil
}
