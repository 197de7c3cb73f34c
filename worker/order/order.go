// Package order shows operators what ordered messages wait for, and settles a message by hand
// that others wait behind. It looks at the queue and the ledger from outside; a worker carries
// out what an operator decides.
package order

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/ack"
	"github.com/redoxworker/redoxworker/worker/internal/bucket"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// What the head of an order is doing: the State of a Head.
const (
	// Queued: no worker has it; is one running for this source, or is it paused?
	Queued = "queued"
	// Sending: a worker has it, or it has just been handed back.
	Sending = "sending"
	// Waiting: an attempt failed, or was not possible; it comes again at Next.
	Waiting = "waiting"
)

// State is what the messages of one order token are waiting on.
type State struct {
	Source string `json:"source"`
	// Token is the last part of their subject.
	Token string `json:"token"`
	// Messages stored under the token, the head included.
	Messages uint64 `json:"messages"`
	// Head is the message that all others of the token wait for.
	Head Head `json:"head"`
}

// Head is the first message of an order token.
type Head struct {
	ID       string    `json:"id"`
	Sequence uint64    `json:"sequence"`
	Stored   time.Time `json:"stored"`
	// State is [Queued], [Sending] or [Waiting].
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

// Tokens looks at ordered messages of one prefix from outside, for operators. It needs the
// rights to read the queue, its consumers and the ledger. It is safe for concurrent use.
type Tokens struct {
	js     jetstream.JetStream
	prefix contract.Prefix
	ledger *ledger.Ledger
}

// NewTokens returns the tokens of a prefix. It makes no request.
func NewTokens(js jetstream.JetStream, p contract.Prefix) *Tokens {
	return &Tokens{js: js, prefix: p, ledger: ledger.New(js, p)}
}

// List returns the order tokens of the source, or of all sources if it is "", with at least so many
// messages each: with 2, those where others wait behind the head. The largest come first, and no
// more than limit of them; 0 means all. It reads the head of each token that it returns.
func (t *Tokens) List(ctx context.Context, source string, messages uint64, limit int) ([]State, error) {
	if t.js == nil {
		return nil, bucket.ErrNoJetStream
	}
	queue, err := t.queue(ctx)
	if err != nil {
		return nil, err
	}
	crowds, err := t.crowds(ctx, queue, source, messages)
	if err != nil {
		return nil, err
	}
	return t.fill(ctx, queue, crowds, limit)
}

// Heads looks up the heads of tokens of which Source, Token and Messages are given, and leaves out
// those whose messages are all settled meanwhile. It makes three requests for each token, and one
// for each source.
func (t *Tokens) Heads(ctx context.Context, tokens []State) ([]State, error) {
	if t.js == nil {
		return nil, bucket.ErrNoJetStream
	}
	queue, err := t.queue(ctx)
	if err != nil {
		return nil, err
	}
	return t.fill(ctx, queue, tokens, 0)
}

// fill answers the tokens with their heads, no more than limit of them; 0 means all.
func (t *Tokens) fill(ctx context.Context, queue jetstream.Stream, tokens []State, limit int) ([]State, error) {
	states := make([]State, 0, len(tokens))
	consumers := map[string]*jetstream.ConsumerInfo{}
	for _, c := range tokens {
		if limit > 0 && len(states) == limit {
			break
		}
		info, known := consumers[c.Source]
		if !known {
			var err error
			if info, err = t.consumer(ctx, c.Source); err != nil {
				return nil, err
			}
			consumers[c.Source] = info
		}
		switch found, err := t.head(ctx, queue, &c, info); {
		case err != nil:
			return nil, err
		case found:
			states = append(states, c)
		}
	}
	return states, nil
}

func (t *Tokens) queue(ctx context.Context) (jetstream.Stream, error) {
	queue, err := t.js.Stream(ctx, t.prefix.OutStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("worker: looking for stream %s (run `redoxworker provision`): %w", t.prefix.OutStream(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("worker: looking for stream %s: %w", t.prefix.OutStream(), err)
	}
	return queue, nil
}

// crowds counts the messages of each token.
func (t *Tokens) crowds(ctx context.Context, queue jetstream.Stream, source string, messages uint64) ([]State, error) {
	if source == "" {
		source = "*"
	}
	info, err := queue.Info(ctx, jetstream.WithSubjectFilter(t.prefix.OrderedSubject(source, "*")))
	if err != nil {
		return nil, fmt.Errorf("worker: listing the order tokens on stream %s: %w", t.prefix.OutStream(), err)
	}
	var list []State
	for subject, n := range info.State.Subjects {
		if name, _, token, err := t.prefix.ParseOut(subject); err == nil && n >= messages {
			list = append(list, State{Source: name, Token: token, Messages: n})
		}
	}
	slices.SortFunc(list, func(a, b State) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Token, b.Token))
	})
	return list, nil
}

// consumer is what is known of that of a source's SENDs; nil when there is none.
func (t *Tokens) consumer(ctx context.Context, source string) (*jetstream.ConsumerInfo, error) {
	consumer, err := t.js.Consumer(ctx, t.prefix.OutStream(), t.prefix.SendConsumer(source))
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
func (t *Tokens) head(ctx context.Context, queue jetstream.Stream, s *State, info *jetstream.ConsumerInfo) (found bool, err error) {
	m, found, err := t.first(ctx, queue, s)
	if err != nil || !found {
		return false, err
	}
	return true, t.describe(ctx, m, s, info)
}

// first reads the first message of a token.
func (t *Tokens) first(ctx context.Context, queue jetstream.Stream, s *State) (m outbox.Message, found bool, err error) {
	msg, err := queue.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(t.prefix.OrderedSubject(s.Source, s.Token)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("worker: reading the first message of an order of source %s: %w", s.Source, err)
	}
	// A breach of the contract is the worker's to settle; what can be read is enough here.
	m, _ = outbox.Decode(t.prefix, outbox.Stored{Subject: msg.Subject, Header: msg.Header, Sequence: msg.Sequence, Time: msg.Time})
	return m, true, nil
}

// describe says what the head of a token is doing.
func (t *Tokens) describe(ctx context.Context, m outbox.Message, s *State, info *jetstream.ConsumerInfo) error {
	rec, _, err := t.ledger.Load(ctx, m)
	if errors.Is(err, ledger.ErrDamaged) {
		rec, err = ledger.Record{Error: "what the ledger knew of it cannot be read"}, nil
	}
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	s.Head = Head{ID: m.ID, Sequence: m.Sequence, Stored: m.Stored, Attempts: rec.Attempts, Status: rec.Status, Error: rec.Error, State: Queued}
	if s.Head.ByHand, err = t.ledger.HeldByHand(ctx, m); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	switch {
	case rec.Next.After(time.Now()):
		s.Head.State, s.Head.Next = Waiting, rec.Next
	case info != nil && info.NumAckPending > 0 && info.Delivered.Stream >= m.Sequence:
		s.Head.State = Sending
	}
	return nil
}

// ErrNotHead is returned when the message is not, or no longer, the head of an order of
// the source.
var ErrNotHead = errors.New("worker: it is not the first message of an order of the source")

// Hold asks for the head of an order to be settled held, without another attempt, so that those
// behind it go on. A worker does it: at once when the message is waiting for its next attempt or
// nobody has it; otherwise when the attempt under way has failed. It returns the state in which it
// found the message.
//
// The instruction lies in the ledger, where workers look every few seconds, and when a pause of
// the source ends: a message that one takes before that is sent. An attempt that is under way is not called back: if
// it succeeds, the message is delivered.
func (t *Tokens) Hold(ctx context.Context, source, id string) (State, error) {
	if t.js == nil {
		return State{}, bucket.ErrNoJetStream
	}
	queue, err := t.queue(ctx)
	if err != nil {
		return State{}, err
	}
	info, err := t.consumer(ctx, source)
	if err != nil {
		return State{}, err
	}
	crowds, err := t.crowds(ctx, queue, source, 1)
	if err != nil {
		return State{}, err
	}
	for _, c := range crowds {
		m, found, err := t.first(ctx, queue, &c)
		if err != nil {
			return State{}, err
		}
		if !found || m.ID != id {
			continue
		}
		if err := t.describe(ctx, m, &c, info); err != nil {
			return State{}, err
		}
		return c, t.hold(ctx, c, info)
	}
	return State{}, fmt.Errorf("%w: see `redoxworker order ls`", ErrNotHead)
}

func (t *Tokens) hold(ctx context.Context, s State, info *jetstream.ConsumerInfo) error {
	m := outbox.Message{ID: s.Head.ID, Source: s.Source, Sequence: s.Head.Sequence, Stored: s.Head.Stored}
	if err := t.ledger.HoldByHand(ctx, m); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	if s.Head.State == Waiting && info != nil {
		at := ack.Delivery{Stream: info.Stream, Consumer: info.Name, Sequence: m.Sequence, Consumed: info.Delivered.Consumer}
		if err := at.Wake(ctx, t.js.Conn(), true); err != nil {
			return fmt.Errorf("worker: waking the head of an order: %w", err)
		}
	}
	return nil
}
