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

// The ledger may be deleted, purged or damaged by accident. Under hold a message of which it
// should know something and does not may have been sent: it is held.

// bornKey says since when the ledger remembers everything: no earlier than the value. It is
// lost with all else.
const bornKey = "born"

// ErrDamaged is returned for an entry of the ledger that cannot be read. That there is one
// says that the message was in somebody's hand.
var ErrDamaged = errors.New("it is damaged")

// Damaged is what is known of a message whose record is damaged or lost: any of it may have
// happened.
func Damaged(m outbox.Message) Record {
	return Record{Started: 1, Intent: true, Unknown: m.Lane != contract.LaneRequest}
}

// Forgot reports whether the ledger may have lost what it knew of a message: it is younger
// than the message.
func (l *Ledger) Forgot(ctx context.Context, m outbox.Message) (bool, error) {
	since, err := l.Born(ctx)
	return err == nil && since.After(m.Stored), err
}

// Born is since when the ledger remembers everything. It notes that where nobody has yet.
func (l *Ledger) Born(ctx context.Context) (time.Time, error) {
	kv, err := l.open(ctx)
	if err != nil {
		return time.Time{}, err
	}
	entry, err := kv.Get(ctx, bornKey)
	if err == nil {
		var since time.Time
		if json.Unmarshal(entry.Value(), &since) == nil {
			return since, nil
		}
		return entry.Created(), nil
	}
	if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return time.Time{}, fmt.Errorf("reading key %s of bucket %s: %w", bornKey, l.bucket, err)
	}
	return l.begin(ctx, kv)
}

// begin notes since when the ledger remembers everything: since it was made, if nobody has
// written into it before, else since now.
func (l *Ledger) begin(ctx context.Context, kv jetstream.KeyValue) (time.Time, error) {
	stream, err := l.js.Stream(ctx, l.Stream())
	if err != nil {
		return time.Time{}, fmt.Errorf("looking at bucket %s: %w", l.bucket, err)
	}
	since := stream.CachedInfo().TimeStamp
	if stream.CachedInfo().State.LastSeq == 0 {
		since = stream.CachedInfo().Created
	}
	data, err := json.Marshal(since)
	if err != nil {
		return time.Time{}, err
	}
	if _, err := kv.Create(ctx, bornKey, data); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return time.Time{}, fmt.Errorf("writing key %s of bucket %s: %w", bornKey, l.bucket, err)
	}
	return since, nil
}
