package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// HoldByHand notes an operator's decision that the message is to be settled held, where no
// worker overwrites it.
func (l *Ledger) HoldByHand(ctx context.Context, m outbox.Message) error {
	subject := contract.BucketSubject(l.js, l.bucket, byHandKey(l.key(m)))
	data, err := json.Marshal(byHand{At: time.Now().UTC(), Stored: m.Stored})
	if err != nil {
		return err
	}
	if _, err := l.js.Publish(ctx, subject, data, jetstream.WithMsgTTL(unread)); err != nil {
		return fmt.Errorf("noting the decision about message %s: %w", m.ID, err)
	}
	return nil
}

// HeldByHand reports whether an operator asked for the message to be settled held.
func (l *Ledger) HeldByHand(ctx context.Context, m outbox.Message) (bool, error) {
	kv, err := l.open(ctx)
	if err != nil {
		return false, err
	}
	entry, err := kv.Get(ctx, byHandKey(l.key(m)))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading what an operator decided about message %s: %w", m.ID, err)
	}
	var decided byHand
	if err := json.Unmarshal(entry.Value(), &decided); err != nil {
		return true, nil // that there is a decision is all that counts
	}
	return !ofAnother(decided.Stored, m), nil
}

// byHand is an operator's decision.
type byHand struct {
	At time.Time `json:"at"`
	// Stored is when the queue stored the message.
	Stored time.Time `json:"stored,omitzero"`
}

// byHandKey is apart from the record, which workers overwrite. Like every key of the ledger that
// has three tokens it begins with what it is, so that no source's name makes it another's.
func byHandKey(key string) string { return "by-hand." + key }

// Decisions are the messages about which operators had decided at one moment.
type Decisions struct {
	ledger *Ledger
	keys   map[string]bool
}

// About reports whether there is a decision about the message. Nil Decisions have none.
func (d *Decisions) About(m outbox.Message) bool {
	return d != nil && d.keys[byHandKey(d.ledger.key(m))]
}

// Decisions lists the messages about which operators have decided.
func (l *Ledger) Decisions(ctx context.Context) (*Decisions, error) {
	stream, err := l.js.Stream(ctx, l.Stream())
	if err != nil {
		return nil, err
	}
	prefix := "$KV." + l.bucket + "."
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix+byHandKey("*.*")))
	if err != nil {
		return nil, err
	}
	keys := make(map[string]bool, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		keys[subject[len(prefix):]] = true
	}
	return &Decisions{l, keys}, nil
}
