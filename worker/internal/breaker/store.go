package breaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/servertime"
	"github.com/redoxworker/redoxworker/worker/internal/bucket"
)

// maxRounds bounds the attempts at one change, while others write.
const maxRounds = 20

// Store reads and changes the shared state, for operators and for a [Sync]. It is not safe for
// concurrent use.
type Store struct {
	js     jetstream.JetStream
	bucket string
	kv     jetstream.KeyValue
	clock  *servertime.Clock
}

// NewStore opens nothing yet. clock is that of the NATS server.
func NewStore(js jetstream.JetStream, bucket string, clock *servertime.Clock) *Store {
	return &Store{js: js, bucket: bucket, clock: clock}
}

// Pause has an operator, named by, pause a scope of [OperatorScope] for d or, if that is 0, until
// Resume. reason is a safe text, or "".
func (s *Store) Pause(ctx context.Context, scope string, d time.Duration, by, reason string) error {
	if d == 0 {
		d = forever
	}
	_, err := s.change(ctx, update{kind: operatorPausing, scope: scope, left: d, reason: reason}, by)
	return err
}

// Resume ends an operator's pause. It reports whether there was one.
func (s *Store) Resume(ctx context.Context, scope, by string) (bool, error) {
	return s.change(ctx, update{kind: operatorResuming, scope: scope}, by)
}

// List returns every shared pause, in the order of the scopes.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	state, _, age, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	state = state.after(age)
	list := make([]Entry, 0, len(state.Scopes))
	for _, scope := range slices.Sorted(maps.Keys(state.Scopes)) {
		p := state.Scopes[scope]
		e := Entry{Scope: scope, Left: p.Left, Operator: p.Operator, By: p.By, Failures: p.Failures, Reason: p.Reason, Refused: p.Refused}
		if p.Lasted > 0 {
			e.Since = time.Now().Add(-p.Lasted)
		}
		list = append(list, e)
	}
	return list, nil
}

// change makes one update. Pauses by operators leave a quarter of what a message may hold to those
// that workers find: without room for these none of them could tell the others anything. There is
// always room for the one pause of all sources.
func (s *Store) change(ctx context.Context, u update, by string) (bool, error) {
	for range maxRounds {
		state, revision, age, err := s.read(ctx)
		if err != nil {
			return false, err
		}
		state = state.after(age)
		if !state.apply(u, by) {
			return false, nil
		}
		data, err := json.Marshal(state)
		if err != nil {
			return false, err
		}
		if most := s.js.Conn().MaxPayload() / 4 * 3; u.kind == operatorPausing && u.scope != operatorAll && int64(len(data)) > most {
			return false, fmt.Errorf("there is no room for more than the %d pauses that there are: resume some, or pause all sources at once", len(state.Scopes)-1)
		}
		if _, err = s.put(ctx, data, revision); !errors.Is(err, errChanged) {
			return err == nil, err
		}
	}
	return false, errChanged
}

// read returns the shared state and how long ago it was written.
func (s *Store) read(ctx context.Context) (state shared, revision uint64, age time.Duration, err error) {
	data, revision, age, err := s.fetch(ctx)
	if err != nil {
		return state, 0, 0, err
	}
	state, err = decodeShared(data)
	return state, revision, age, err
}

// fetch is read without making sense of it; nil data, and revision 0, where there is nothing.
func (s *Store) fetch(ctx context.Context) (data []byte, revision uint64, age time.Duration, err error) {
	if s.kv == nil {
		if err := s.open(ctx); err != nil {
			return nil, 0, 0, err
		}
	}
	entry, err := s.kv.Get(ctx, sharedKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, 0, nil
	}
	if err != nil {
		return nil, 0, 0, fmt.Errorf("reading key %s of bucket %s: %w", sharedKey, s.bucket, err)
	}
	return entry.Value(), entry.Revision(), max(0, s.clock.Now().Sub(entry.Created())), nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.js == nil {
		return bucket.ErrNoJetStream
	}
	if err = s.clock.Measure(ctx, s.js, "KV_"+s.bucket); err != nil {
		return bucket.Error(s.bucket, err)
	}
	s.kv, err = bucket.Open(ctx, s.js, s.bucket)
	return err
}

// errChanged is returned when somebody else wrote meanwhile.
var errChanged = errors.New("worker: the shared pauses were changed meanwhile")

func (s *Store) write(ctx context.Context, state shared, revision uint64) (uint64, error) {
	data, err := json.Marshal(state)
	if err != nil {
		return 0, err
	}
	return s.put(ctx, data, revision)
}

func (s *Store) put(ctx context.Context, data []byte, revision uint64) (written uint64, err error) {
	if revision == 0 {
		written, err = s.kv.Create(ctx, sharedKey, data)
	} else {
		written, err = s.kv.Update(ctx, sharedKey, data, revision)
	}
	switch {
	case err == nil:
		return written, nil
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return 0, errChanged
	}
	return 0, fmt.Errorf("writing key %s of bucket %s: %w", sharedKey, s.bucket, err)
}
