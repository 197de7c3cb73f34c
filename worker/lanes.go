package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

// What the head of a partition is doing.
const (
	// LaneQueued: no worker has it; is one running for this source, or is it paused?
	LaneQueued = "queued"
	// LaneSending: a worker has it, or it has just been handed back.
	LaneSending = "sending"
	// LaneWaiting: an attempt failed, or was not possible; it comes again at Next.
	LaneWaiting = "waiting"
)

// LaneState is what one partition of ordered messages is waiting on.
type LaneState struct {
	Source    string `json:"source"`
	Partition int    `json:"partition"`
	// Messages stored in the partition, the head included.
	Messages uint64 `json:"messages"`
	// Head is the message that all others of the partition wait for; nil when it is empty.
	Head *LaneHead `json:"head,omitempty"`
}

// LaneHead is the first message of a partition.
type LaneHead struct {
	ID       string    `json:"id"`
	Sequence uint64    `json:"sequence"`
	Stored   time.Time `json:"stored"`
	// State is LaneQueued, LaneSending or LaneWaiting.
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

// Lanes looks at the ordered lanes of one prefix from outside, for operators. It needs
// the rights to list consumers and to read the queue and the ledger. It is safe for
// concurrent use.
type Lanes struct {
	js     jetstream.JetStream
	prefix outbox.Prefix
	ledger *ledger
}

// NewLanes makes no request.
func NewLanes(js jetstream.JetStream, p outbox.Prefix) *Lanes {
	return &Lanes{js: js, prefix: p, ledger: newLedger(js, p)}
}

// List answers the partitions of the source, or of all sources when it is "", by source
// and number. With empty false those that hold no message are left out.
func (l *Lanes) List(ctx context.Context, source string, empty bool) ([]LaneState, error) {
	if l.js == nil {
		return nil, errNoJetStream
	}
	out, err := l.js.Stream(ctx, l.prefix.OutStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("worker: looking for stream %s (run `redoxworker provision`): %w", l.prefix.OutStream(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("worker: looking for stream %s: %w", l.prefix.OutStream(), err)
	}
	consumers := map[string]*jetstream.ConsumerInfo{}
	list := out.ListConsumers(ctx)
	for info := range list.Info() {
		consumers[info.Name] = info
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("worker: listing the consumers of stream %s: %w", l.prefix.OutStream(), err)
	}
	var lanes []LaneState
	for _, info := range consumers {
		name, n, ok := l.prefix.ParseOrderedConsumer(info.Name)
		if !ok || source != "" && name != source {
			continue
		}
		state := LaneState{Source: name, Partition: n, Messages: info.NumPending + uint64(info.NumAckPending)}
		if state.Messages > 0 {
			if state.Head, err = l.head(ctx, out, info); err != nil {
				return nil, err
			}
		}
		if state.Head != nil || empty {
			lanes = append(lanes, state)
		}
	}
	sortLanes(lanes)
	return lanes, nil
}

// head reads the first message of a consumer's subject; nil when it was settled meanwhile.
func (l *Lanes) head(ctx context.Context, out jetstream.Stream, info *jetstream.ConsumerInfo) (*LaneHead, error) {
	m, err := l.first(ctx, out, info)
	if m == nil || err != nil {
		return nil, err
	}
	rec, err := l.ledger.load(ctx, *m)
	if errors.Is(err, errDamaged) {
		rec, err = record{Error: "what the ledger knew of it cannot be read"}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	head := &LaneHead{ID: m.ID, Sequence: m.Sequence, Stored: m.Stored, Attempts: rec.Attempts, Status: rec.Status, Error: rec.Error, State: LaneQueued}
	if head.ByHand, err = l.ledger.heldByHand(ctx, *m); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	if info.NumAckPending > 0 {
		head.State = LaneSending
		if rec.Next.After(time.Now()) {
			head.State, head.Next = LaneWaiting, rec.Next
		}
	}
	return head, nil
}

func (l *Lanes) first(ctx context.Context, out jetstream.Stream, info *jetstream.ConsumerInfo) (*outbox.Message, error) {
	msg, err := out.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(info.Config.FilterSubject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("worker: reading the first message of consumer %s: %w", info.Name, err)
	}
	// A breach of the contract is the worker's to settle; what can be read is enough here.
	m, _ := outbox.Decode(l.prefix, outbox.Stored{Subject: msg.Subject, Header: msg.Header, Sequence: msg.Sequence, Time: msg.Time})
	return &m, nil
}

// ErrNotHead is returned when the message is not, or no longer, the head of a partition of
// the source.
var ErrNotHead = errors.New("worker: no partition of the source waits for this message")

// Hold asks for the head of a partition to be settled held, without another attempt, so
// that the partition goes on. A worker does it: at once when the message is waiting for its
// next attempt or nobody has it; otherwise when the attempt under way has failed. It
// answers the state the message was found in.
//
// The instruction lies in the ledger. An attempt that is under way is not called back: if
// it succeeds, the message is delivered.
func (l *Lanes) Hold(ctx context.Context, source, id string) (LaneState, error) {
	lanes, err := l.List(ctx, source, false)
	if err != nil {
		return LaneState{}, err
	}
	for _, lane := range lanes {
		if lane.Head.ID == id {
			return lane, l.hold(ctx, lane)
		}
	}
	return LaneState{}, fmt.Errorf("%w: see `redoxworker lanes ls`", ErrNotHead)
}

func (l *Lanes) hold(ctx context.Context, lane LaneState) error {
	head := lane.Head
	m := outbox.Message{ID: head.ID, Source: lane.Source, Sequence: head.Sequence, Stored: head.Stored}
	if err := l.ledger.holdByHand(ctx, m); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	consumer, err := l.js.Consumer(ctx, l.prefix.OutStream(), l.prefix.OrderedConsumer(lane.Source, lane.Partition))
	if err != nil {
		return fmt.Errorf("worker: looking for the consumer of the partition: %w", err)
	}
	switch head.State {
	case LaneQueued:
		return l.touch(ctx, consumer)
	case LaneWaiting:
		return l.wake(ctx, consumer.CachedInfo(), head.Sequence)
	}
	return nil
}

// touch takes a message that nobody has and hands it back, so that its next delivery is
// not its first: only then does a worker look for instructions. The ledger says that it
// was not sent, which is known of what was taken alone: a worker may have been quicker.
func (l *Lanes) touch(ctx context.Context, consumer jetstream.Consumer) error {
	for range touchTries {
		batch, err := consumer.FetchNoWait(1)
		if err != nil {
			return fmt.Errorf("worker: touching the head of the partition: %w", err)
		}
		touched := false
		for msg := range batch.Messages() {
			touched = true
			if err := l.handBack(ctx, msg); err != nil {
				return fmt.Errorf("worker: handing back the head of the partition: %w", err)
			}
		}
		if err := batch.Error(); err != nil || touched {
			return err
		}
		sleep(ctx, touchPause)
	}
	return nil
}

// touchTries is how often a head is asked for when none comes, touchPause apart: a consumer
// learns of a message a moment after the stream has it.
const (
	touchTries = 3
	touchPause = 100 * time.Millisecond
)

func (l *Lanes) handBack(ctx context.Context, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err == nil && meta.NumDelivered == 1 {
		m, _ := outbox.Decode(l.prefix, outbox.Stored{Subject: msg.Subject(), Header: msg.Headers(), Sequence: meta.Sequence.Stream, Time: meta.Timestamp})
		err = l.ledger.create(ctx, m, record{Ended: 1})
	}
	return errors.Join(err, msg.Nak())
}

// wake has a message that waits for its next attempt delivered now: a negative
// acknowledgement without a delay, for the delivery that the consumer counts as its last.
func (l *Lanes) wake(ctx context.Context, info *jetstream.ConsumerInfo, sequence uint64) error {
	subject := fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.0.0", info.Stream, info.Name, sequence, info.Delivered.Consumer)
	if _, err := l.js.Conn().RequestWithContext(ctx, subject, []byte(ackBack)); err != nil {
		return fmt.Errorf("worker: waking the head of the partition: %w", err)
	}
	return nil
}

// holdByHand notes an operator's decision where no worker overwrites it.
func (l *ledger) holdByHand(ctx context.Context, m outbox.Message) error {
	subject := "$KV." + l.bucket + "." + byHandKey(l.key(m))
	data, err := json.Marshal(byHand{At: time.Now().UTC(), Stored: m.Stored})
	if err != nil {
		return err
	}
	if _, err := l.js.Publish(ctx, subject, data, jetstream.WithMsgTTL(unread)); err != nil {
		return fmt.Errorf("noting the decision about message %s: %w", m.ID, err)
	}
	return nil
}

func sortLanes(lanes []LaneState) {
	slices.SortFunc(lanes, func(a, b LaneState) int {
		if c := strings.Compare(a.Source, b.Source); c != 0 {
			return c
		}
		return a.Partition - b.Partition
	})
}
