package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/internal/bucket"
)

// record is what the ledger remembers of a message that did not settle at its first
// delivery, shared by all workers. JetStream's own delivery count cannot serve: it also
// counts pauses, restarts and deliveries nobody handled.
type record struct {
	// Attempts that ended and failed.
	Attempts int `json:"attempts,omitempty"`
	// Excused are those of them that were not the message's fault; see [outcome].
	Excused int `json:"excused,omitempty"`
	// Age is how long the message was tried, in attempts that count and in the waits that these
	// asked for. What it waited for any other reason, a pause, a backlog or a worker, does not
	// make it older.
	Age time.Duration `json:"age,omitempty"`
	// Since is when such a wait began, which ends with Next; zero when it waits for another
	// reason.
	Since time.Time `json:"since,omitzero"`
	// Started counts the deliveries since the last attempt's end that began an attempt
	// and never came back: what a message that kills its worker leaves behind.
	Started int `json:"started,omitempty"`
	// Begun is when the last of them began, by the NATS server's clock.
	Begun time.Time `json:"begun,omitzero"`
	// Alone counts those of them in which the message was the only suspect; see suspects.go.
	Alone int `json:"alone,omitempty"`
	// Intent is set before a message under hold is sent and cleared when its outcome is
	// known. Found at a delivery, it means a worker died in between.
	Intent bool `json:"intent,omitempty"`
	// Unknown is set once an attempt had an unknown outcome.
	Unknown bool `json:"unknown,omitempty"`
	// Ended is the delivery, by JetStream's count, whose end this record tells. A later
	// delivery that is not the next one means that somebody had the message in between
	// and left nothing behind: it may have been sent.
	Ended uint64 `json:"ended,omitempty"`
	// Next is when the message comes again; zero when it was handed back at once.
	Next time.Time `json:"next,omitzero"`
	// Settled is set when everything but the ack was done by a worker that had lost its
	// lease: whoever has the message next acknowledges it unsent.
	Settled outbox.Settlement `json:"settled,omitempty"`
	// Stored is when the queue stored the message. One that was made anew gives away its
	// sequences again, and with them the names of messages without an id.
	Stored time.Time `json:"stored,omitzero"`
	// Status and Error (safe text) of the last failed attempt, or of the settlement.
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

// lateness is how much later than asked for a message may come without that having a reason.
const lateness = 2 * time.Second

// ageAt is the message's age when its next attempt begins.
func (r *record) ageAt(begin time.Time) time.Duration {
	if r.Since.IsZero() {
		return r.Age
	}
	return r.Age + max(0, min(begin.Sub(r.Since), r.Next.Sub(r.Since)+lateness))
}

// ledger reads and writes records in the REDOX_LEDGER bucket. A message that is
// delivered at once touches it only under hold, behind a dead letter of its order, or
// when its lease was lost before the ack.
type ledger struct {
	js     jetstream.JetStream
	prefix outbox.Prefix
	bucket string

	mu sync.Mutex
	kv jetstream.KeyValue
}

const (
	// unread is how long a record or an operator's decision waits for a worker. A message may
	// wait as long as it likes, while its source is paused or nobody serves it, and what is
	// known of it must not be forgotten before.
	unread = 365 * 24 * time.Hour
	// retired is how long a record stays when its message is settled and acknowledged: a server
	// that was killed may bring one again whose acknowledgement it forgot.
	retired = 24 * time.Hour
)

func newLedger(js jetstream.JetStream, p outbox.Prefix) *ledger {
	return &ledger{js: js, prefix: p, bucket: p.LedgerBucket()}
}

func (l *ledger) key(m outbox.Message) string {
	return m.Source + "." + l.prefix.DeadToken(m.ID, m.Sequence)
}

// subjects are those of all records of a source.
func (l *ledger) subjects(source string) string { return "$KV." + l.bucket + "." + source + ".*" }

// load answers the record of a message; the zero record when there is none. It asks the
// bucket's leader: a replica may not yet have the intent of a moment ago.
func (l *ledger) load(ctx context.Context, m outbox.Message) (record, error) {
	r, _, err := l.loadAt(ctx, m)
	return r, err
}

// loadAt is load with the revision of the record, 0 when there is none.
func (l *ledger) loadAt(ctx context.Context, m outbox.Message) (record, uint64, error) {
	kv, err := l.open(ctx)
	if err != nil {
		return record{}, 0, err
	}
	entry, err := kv.Get(ctx, l.key(m))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return record{}, 0, nil
	}
	if err != nil {
		return record{}, 0, fmt.Errorf("reading the ledger entry of message %s: %w", m.ID, err)
	}
	var r record
	if err := json.Unmarshal(entry.Value(), &r); err != nil {
		return record{}, entry.Revision(), fmt.Errorf("ledger entry of message %s, key %s of bucket %s: %w", m.ID, entry.Key(), l.bucket, errDamaged)
	}
	if ofAnother(r.Stored, m) {
		return record{}, entry.Revision(), nil
	}
	return r, entry.Revision(), nil
}

// ofAnother reports whether what was noted about a message that was stored at the given time
// is about one of an earlier queue.
func ofAnother(stored time.Time, m outbox.Message) bool {
	return !stored.IsZero() && !m.Stored.IsZero() && !stored.Equal(m.Stored)
}

// store writes the record of a message. It is published to the bucket's subject rather
// than put, because a KV update cannot carry a TTL.
func (l *ledger) store(ctx context.Context, m outbox.Message, r record) error {
	return l.write(ctx, m, r)
}

// create writes the record of a message that has none. That it has one is no error.
func (l *ledger) create(ctx context.Context, m outbox.Message, r record) error {
	err := l.write(ctx, m, r, jetstream.WithExpectLastSequencePerSubject(0))
	if dlq.IsAlreadyStored(err) {
		return nil
	}
	return err
}

// follow writes the record of a message in the place of the one of a revision, 0 when there was
// none. That another was written since is an error of which dlq.IsAlreadyStored tells.
func (l *ledger) follow(ctx context.Context, m outbox.Message, r record, revision uint64) error {
	err := l.write(ctx, m, r, jetstream.WithExpectLastSequencePerSubject(revision))
	if revision != 0 || !dlq.IsAlreadyStored(err) {
		return err
	}
	if marker := l.marker(ctx, m); marker != 0 {
		return l.write(ctx, m, r, jetstream.WithExpectLastSequencePerSubject(marker))
	}
	return err
}

// marker is the revision of what a record left that was deleted or has expired; 0 when there is
// none.
func (l *ledger) marker(ctx context.Context, m outbox.Message) uint64 {
	stream, err := l.js.Stream(ctx, bucketStream+l.bucket)
	if err != nil {
		return 0
	}
	last, err := stream.GetLastMsgForSubject(ctx, "$KV."+l.bucket+"."+l.key(m))
	if err != nil || last.Header.Get("KV-Operation") == "" && last.Header.Get("Nats-Marker-Reason") == "" {
		return 0
	}
	return last.Sequence
}

// bucketStream begins the name of the stream of a bucket (ADR-8).
const bucketStream = "KV_"

func (l *ledger) write(ctx context.Context, m outbox.Message, r record, opts ...jetstream.PublishOpt) error {
	msg, err := l.message(m, r, unread)
	if err != nil {
		return err
	}
	if _, err := l.js.PublishMsg(ctx, msg, opts...); err != nil {
		return fmt.Errorf("writing the ledger entry of message %s: %w", m.ID, err)
	}
	return nil
}

func (l *ledger) message(m outbox.Message, r record, ttl time.Duration) (*nats.Msg, error) {
	r.Stored = m.Stored
	data, err := json.Marshal(r)
	return &nats.Msg{Subject: outbox.BucketSubject(l.js, l.bucket, l.key(m)), Data: data,
		Header: nats.Header{jetstream.MsgTTLHeader: {ttl.String()}}}, err
}

// retire leaves of a record that its message is settled and acknowledged, for as long as that
// may be of use. Nobody waits for it: a record that keeps its time does no harm.
func (l *ledger) retire(m outbox.Message, r record) {
	if msg, err := l.message(m, r, retired); err == nil {
		_ = l.js.Conn().PublishMsg(msg)
	}
}

// refused reports whether what could not be written is not stored either, nor will be: the
// server said so, or there was none. Without an answer it may be.
func refused(err error) bool {
	return errors.As(err, new(*jetstream.APIError)) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

// heldByHand reports whether an operator asked for the message to be settled held.
func (l *ledger) heldByHand(ctx context.Context, m outbox.Message) (bool, error) {
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

// open finds the bucket once; a failure is not remembered. Nobody waits for another's request.
func (l *ledger) open(ctx context.Context) (jetstream.KeyValue, error) {
	l.mu.Lock()
	kv := l.kv
	l.mu.Unlock()
	if kv != nil {
		return kv, nil
	}
	kv, err := bucket.Open(ctx, l.js, l.bucket)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kv = kv
	return kv, nil
}
