package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/servertime"
)

// How the board is read and written. It is polled, so that the least of permissions do and
// a reconnect needs no care.
const (
	boardEvery   = 500 * time.Millisecond
	boardTimeout = time.Second
	boardRounds  = 20 // attempts at one change, while others write
	boardFirst   = 5  // attempts at the first look that nobody answers
)

// boardStore is the key that the board is kept in.
type boardStore struct {
	js     jetstream.JetStream
	bucket string
	kv     jetstream.KeyValue
	clock  *servertime.Clock
}

// read answers what is on the board and how long ago it was written.
func (s *boardStore) read(ctx context.Context) (n notices, revision uint64, age time.Duration, err error) {
	if s.kv == nil {
		if err := s.open(ctx); err != nil {
			return n, 0, 0, err
		}
	}
	entry, err := s.kv.Get(ctx, boardKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		n, err = decodeNotices(nil)
		return n, 0, 0, err
	}
	if err != nil {
		return n, 0, 0, fmt.Errorf("reading key %s of bucket %s: %w", boardKey, s.bucket, err)
	}
	n, err = decodeNotices(entry.Value())
	return n, entry.Revision(), max(0, s.clock.Now().Sub(entry.Created())), err
}

func (s *boardStore) open(ctx context.Context) error {
	if s.js == nil {
		return errNoJetStream
	}
	err := s.clock.Measure(ctx, s.js, "KV_"+s.bucket)
	if err != nil {
		return openingError(s.bucket, err)
	}
	if s.kv, err = s.js.KeyValue(ctx, s.bucket); err != nil {
		return openingError(s.bucket, err)
	}
	return nil
}

// openingError says what makes a bucket that does not exist.
func openingError(bucket string, err error) error {
	if errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("opening bucket %s (run `redoxworker provision`): %w", bucket, err)
	}
	return fmt.Errorf("opening bucket %s: %w", bucket, err)
}

// errBoardChanged says that somebody else wrote meanwhile.
var errBoardChanged = errors.New("worker: the board was changed meanwhile")

func (s *boardStore) write(ctx context.Context, n notices, revision uint64) (uint64, error) {
	data, err := json.Marshal(n)
	if err != nil {
		return 0, err
	}
	var written uint64
	if revision == 0 {
		written, err = s.kv.Create(ctx, boardKey, data)
	} else {
		written, err = s.kv.Update(ctx, boardKey, data, revision)
	}
	switch {
	case err == nil:
		return written, nil
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return 0, errBoardChanged
	}
	return 0, fmt.Errorf("writing key %s of bucket %s: %w", boardKey, s.bucket, err)
}

// board keeps a worker's gates and those of the others in step.
type board struct {
	store boardStore
	own   string
	gates *gates
	log   *slog.Logger
	kick  chan struct{}

	mu    sync.Mutex
	queue []change // not on the board yet

	// of run alone
	seen     notices
	at       time.Time // when seen was written, as far as this worker can tell
	revision uint64
	fresh    bool // something was read
	last     time.Time
	failing  bool
	damaged  int // looks in a row that could not read it
}

func newBoard(js jetstream.JetStream, bucket, own string, g *gates, clock *servertime.Clock, log *slog.Logger) *board {
	own = fmt.Sprintf("%s-%08x", own, rand.Uint32()) // two workers of one process are two
	b := &board{store: boardStore{js: js, bucket: bucket, clock: clock}, own: own, gates: g, log: log, kick: make(chan struct{}, 1), last: time.Now()}
	g.post = b.post
	return b
}

// post queues a change. It does not block.
func (b *board) post(c change) {
	c.at = time.Now()
	b.mu.Lock()
	b.queue = append(b.queue, c)
	b.mu.Unlock()
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

// run keeps in step until ctx ends.
func (b *board) run(ctx context.Context) {
	ticker := time.NewTicker(boardEvery)
	defer ticker.Stop()
	for {
		b.note(b.sync(ctx))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-b.kick:
		}
	}
}

// note tells the gates when the others have been out of reach for a moment.
func (b *board) note(err error) {
	switch {
	case err == nil && b.failing:
		b.log.Info("pauses are shared with the other workers again")
	case err != nil && !b.failing:
		b.log.Debug("pauses cannot be shared with the other workers", "error", err)
	}
	b.failing = err != nil
	if err == nil {
		b.last = time.Now()
	} else if time.Since(b.last) >= 2*boardEvery {
		b.gates.lose()
	}
}

// first is sync before anything is sent. It asks again where nobody answers, as a server that
// starts, but not for ever: that is also how a server keeps somebody from a bucket.
func (b *board) first(ctx context.Context) (err error) {
	for range boardFirst {
		if err = b.sync(ctx); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) {
			break
		}
	}
	return err
}

// sync reads the board, makes the changes that are due and has the gates follow it.
func (b *board) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, boardTimeout)
	defer cancel()
	for range boardRounds {
		if err := b.look(ctx); err != nil {
			return err
		}
		changes := b.due()
		err := b.make(ctx, changes)
		if errors.Is(err, errBoardChanged) {
			continue
		}
		if err != nil {
			return err
		}
		b.mu.Lock()
		busy := make(map[string]bool)
		for _, c := range b.queue {
			busy[c.scope] = true
		}
		b.mu.Unlock()
		b.gates.adopt(b.seen, b.at, b.own, busy)
		return nil
	}
	return errBoardChanged
}

func (b *board) look(ctx context.Context) error {
	n, revision, age, err := b.store.read(ctx)
	damaged := errors.Is(err, errBoardDamaged)
	if damaged || err == nil && revision == 0 && b.fresh && len(b.seen.Scopes) > 0 {
		return b.restore(ctx, revision, err)
	}
	b.damaged = 0
	if err != nil {
		return err
	}
	if b.fresh && revision == b.revision {
		return nil
	}
	if b.fresh {
		age = 0 // written since the last look: a moment ago, whatever clocks say
	}
	b.seen, b.at, b.revision, b.fresh = n, time.Now().Add(-age), revision, true
	return nil
}

// restore puts back what this worker knows in place of a board that is gone or damaged: nobody
// takes a pause away like that. One that knows nothing leaves it to the others for a while.
func (b *board) restore(ctx context.Context, revision uint64, err error) error {
	if b.damaged++; !b.fresh && b.damaged < boardFirst {
		return err
	}
	now := time.Now()
	n := notices{Scopes: map[string]notice{}, Last: revision}
	if b.fresh {
		n = b.seen.after(now.Sub(b.at))
	}
	written, err := b.store.write(ctx, n, revision)
	if err != nil {
		return err
	}
	b.log.Warn("the pauses that workers share were deleted or damaged; what this worker knows of them was put back", "bucket", b.store.bucket,
		"key", boardKey, "pauses", len(n.Scopes), "known", b.fresh)
	b.seen, b.at, b.revision, b.fresh, b.damaged = n, now, written, true, 0
	return nil
}

func (b *board) due() []change {
	renewals := b.gates.renewals()
	b.mu.Lock()
	defer b.mu.Unlock()
	return append(renewals, b.queue...)
}

// make writes the changes, if there are any to make, and takes them from the queue.
func (b *board) make(ctx context.Context, changes []change) error {
	if len(changes) == 0 {
		return nil
	}
	now := time.Now()
	n, changed := b.seen.after(now.Sub(b.at)), false
	for i, c := range changes {
		if c, is := c.due(now, changes[i+1:]); is {
			changed = n.apply(c, b.own) || changed
		}
	}
	if changed {
		revision, err := b.store.write(ctx, n, b.revision)
		if err != nil {
			return err
		}
		b.seen, b.at, b.revision = n, now, revision
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := 0
	for _, c := range changes {
		if mine < len(b.queue) && b.queue[mine] == c {
			mine++
		}
	}
	b.queue = b.queue[mine:]
	return nil
}
