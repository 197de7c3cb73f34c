package ledger

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
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/internal/bucket"
)

// Ledger reads and writes records in the REDOX_LEDGER bucket. A message that is
// delivered at once touches it only under hold, behind a dead letter of its order, when its
// lease was lost before the ack, or where an operator moved it.
type Ledger struct {
	js     jetstream.JetStream
	prefix contract.Prefix
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

// New makes no request.
func New(js jetstream.JetStream, p contract.Prefix) *Ledger {
	return &Ledger{js: js, prefix: p, bucket: p.LedgerBucket()}
}

func (l *Ledger) key(m outbox.Message) string {
	return m.Source + "." + l.prefix.DeadToken(m.ID, m.Sequence)
}

// Stream is the name of the bucket's stream (ADR-8).
func (l *Ledger) Stream() string { return "KV_" + l.bucket }

// Subjects are those of all records of a source on Stream.
func (l *Ledger) Subjects(source string) string { return "$KV." + l.bucket + "." + source + ".*" }

// Load returns the record of a message and its revision; the zero record and 0 when there is
// none. It asks the bucket's leader: a replica may not yet have the intent of a moment ago.
// A record that cannot be read is ErrDamaged.
func (l *Ledger) Load(ctx context.Context, m outbox.Message) (Record, uint64, error) {
	kv, err := l.open(ctx)
	if err != nil {
		return Record{}, 0, err
	}
	entry, err := kv.Get(ctx, l.key(m))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Record{}, 0, nil
	}
	if err != nil {
		return Record{}, 0, fmt.Errorf("reading the ledger entry of message %s: %w", m.ID, err)
	}
	var r Record
	if err := json.Unmarshal(entry.Value(), &r); err != nil {
		return Record{}, entry.Revision(), fmt.Errorf("ledger entry of message %s, key %s of bucket %s: %w", m.ID, entry.Key(), l.bucket, ErrDamaged)
	}
	if ofAnother(r.Stored, m) {
		return Record{}, entry.Revision(), nil
	}
	return r, entry.Revision(), nil
}

// ofAnother reports whether what was noted about a message that was stored at the given time
// is about one of an earlier queue.
func ofAnother(stored time.Time, m outbox.Message) bool {
	return !stored.IsZero() && !m.Stored.IsZero() && !stored.Equal(m.Stored)
}

// Store writes the record of a message. It is published to the bucket's subject rather
// than put, because a KV update cannot carry a TTL.
func (l *Ledger) Store(ctx context.Context, m outbox.Message, r Record) error {
	return l.write(ctx, m, r)
}

// Create writes the record of a message that has none. That it has one is no error.
func (l *Ledger) Create(ctx context.Context, m outbox.Message, r Record) error {
	err := l.write(ctx, m, r, jetstream.WithExpectLastSequencePerSubject(0))
	if dlq.IsAlreadyStored(err) {
		return nil
	}
	return err
}

// Replace writes the record of a message in the place of the one of a revision, 0 when there was
// none. Where another was written since, [dlq.IsAlreadyStored] reports true of the error.
func (l *Ledger) Replace(ctx context.Context, m outbox.Message, r Record, revision uint64) error {
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
func (l *Ledger) marker(ctx context.Context, m outbox.Message) uint64 {
	stream, err := l.js.Stream(ctx, l.Stream())
	if err != nil {
		return 0
	}
	last, err := stream.GetLastMsgForSubject(ctx, "$KV."+l.bucket+"."+l.key(m))
	if err != nil || last.Header.Get("KV-Operation") == "" && last.Header.Get("Nats-Marker-Reason") == "" {
		return 0
	}
	return last.Sequence
}

func (l *Ledger) write(ctx context.Context, m outbox.Message, r Record, opts ...jetstream.PublishOpt) error {
	msg, err := l.message(m, r, unread)
	if err != nil {
		return err
	}
	if _, err := l.js.PublishMsg(ctx, msg, opts...); err != nil {
		return fmt.Errorf("writing the ledger entry of message %s: %w", m.ID, err)
	}
	return nil
}

func (l *Ledger) message(m outbox.Message, r Record, ttl time.Duration) (*nats.Msg, error) {
	r.Stored = m.Stored
	data, err := json.Marshal(r)
	return &nats.Msg{Subject: contract.BucketSubject(l.js, l.bucket, l.key(m)), Data: data,
		Header: nats.Header{jetstream.MsgTTLHeader: {ttl.String()}}}, err
}

// Retire shortens the life of the record of a message that is settled and acknowledged to 24
// hours. It does not wait for the server: a record that lives longer does no harm.
func (l *Ledger) Retire(m outbox.Message, r Record) {
	if msg, err := l.message(m, r, retired); err == nil {
		_ = l.js.Conn().PublishMsg(msg)
	}
}

// open finds the bucket once; a failure is not remembered. Nobody waits for another's request.
func (l *Ledger) open(ctx context.Context) (jetstream.KeyValue, error) {
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
