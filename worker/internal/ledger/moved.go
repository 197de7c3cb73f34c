package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// MovedTTL is how long it is remembered that a message that was moved has left the queue: until then a move that
// was killed in between can be gone on with.
const MovedTTL = 30 * 24 * time.Hour

// Mark tells a place in the queue from any other for ever, also of a queue that was made anew. It is
// the value of [contract.HeaderMoved].
func Mark(in outbox.Stored) string {
	sum := sha256.Sum256([]byte(in.Subject + "\x00" + strconv.FormatUint(in.Sequence, 10) + "\x00" + strconv.FormatInt(in.Time.UnixNano(), 10)))
	return hex.EncodeToString(sum[:16])
}

// NoteMoved notes that a message that was moved to a source is about to leave the queue, which no longer
// shows then that it was moved. Others leave no note. It is the source's: whoever may not publish as
// it cannot have one made.
func (l *Ledger) NoteMoved(ctx context.Context, source string, h nats.Header) error {
	if len(h[contract.HeaderMoved]) == 0 || source == "" {
		return nil
	}
	mark := h[contract.HeaderMoved][0]
	if raw, err := hex.DecodeString(mark); err != nil || len(raw) != 16 {
		return nil // nobody asks for it
	}
	if _, err := l.js.Publish(ctx, contract.BucketSubject(l.js, l.bucket, movedKey(source, mark)), []byte("true"), jetstream.WithMsgTTL(MovedTTL)); err != nil {
		return fmt.Errorf("noting that a message was moved: %w", err)
	}
	return nil
}

// Moved reports whether a message with a mark has left the queue under the source to which it was moved.
func (l *Ledger) Moved(ctx context.Context, source, mark string) (bool, error) {
	kv, err := l.open(ctx)
	if err != nil {
		return false, err
	}
	_, err = kv.Get(ctx, movedKey(source, mark))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, nil
	}
	return err == nil, err
}

func movedKey(source, mark string) string { return "moved." + source + "." + mark }

// Moving is what a run that moves messages is about to do with some of them.
type Moving struct {
	// At is when it was noted, After the last sequence of the queue before.
	At    time.Time `json:"at"`
	After uint64    `json:"after"`
	// To are the subjects under which the messages are stored anew, by their mark; From is where they
	// are.
	To   map[string]string `json:"to"`
	From map[string]uint64 `json:"from"`

	revision uint64
}

const movingKey = "moving.run."

// StoreMoving notes what the run is about to do, instead of what it noted before.
func (l *Ledger) StoreMoving(ctx context.Context, run string, m Moving) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := l.js.Publish(ctx, contract.BucketSubject(l.js, l.bucket, movingKey+run), data, jetstream.WithMsgTTL(unread)); err != nil {
		return fmt.Errorf("noting what is moved: %w", err)
	}
	return nil
}

// EndMoving forgets what the run notes itself.
func (l *Ledger) EndMoving(ctx context.Context, run string) error {
	kv, err := l.open(ctx)
	if err != nil {
		return err
	}
	return kv.Purge(ctx, movingKey+run, jetstream.PurgeTTL(time.Minute))
}

// ForgetMoving forgets what another run has noted, unless that has noted something else since.
func (l *Ledger) ForgetMoving(ctx context.Context, run string, m Moving) error {
	kv, err := l.open(ctx)
	if err != nil {
		return err
	}
	err = kv.Purge(ctx, movingKey+run, jetstream.PurgeTTL(time.Minute), jetstream.LastRevision(m.revision))
	if dlq.IsAlreadyStored(err) {
		return nil
	}
	return err
}

// Movings are those of all runs that have not ended. One that cannot be read is an error: nobody knows
// what it was about to do.
func (l *Ledger) Movings(ctx context.Context) (map[string]Moving, error) {
	kv, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := l.js.Stream(ctx, l.Stream())
	if err != nil {
		return nil, err
	}
	prefix := "$KV." + l.bucket + "."
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix+movingKey+"*"))
	if err != nil {
		return nil, err
	}
	all := map[string]Moving{}
	for subject := range info.State.Subjects {
		entry, err := kv.Get(ctx, strings.TrimPrefix(subject, prefix))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		var m Moving
		if err == nil {
			err = json.Unmarshal(entry.Value(), &m)
		}
		if err != nil {
			return nil, fmt.Errorf("key %s of bucket %s: %w", strings.TrimPrefix(subject, prefix), l.bucket, errors.Join(ErrDamaged, err))
		}
		m.revision = entry.Revision()
		all[strings.TrimPrefix(subject, prefix+movingKey)] = m
	}
	return all, nil
}
