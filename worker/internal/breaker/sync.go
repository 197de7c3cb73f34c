package breaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// The shared state is polled, so that the least of permissions do and a reconnect needs no care.
const (
	syncEvery   = 500 * time.Millisecond
	syncTimeout = time.Second
	firstTries  = 5 // attempts at the first look that nobody answers
)

// Sync keeps a worker's breaker and those of the other workers in step.
type Sync struct {
	store   *Store
	own     string
	breaker *Breaker
	log     *slog.Logger
	kick    chan struct{}

	mu     sync.Mutex
	queue  []update // not in the shared state yet
	flying int      // of them, the first are about to be

	// of Run alone
	seen     shared
	at       time.Time // when seen was written, as far as this worker can tell
	revision uint64
	fresh    bool // something was read
	last     time.Time
	failing  bool
	damaged  int // looks in a row that could not read it
}

// NewSync makes the pauses of b, of the worker named own, those of the fleet. Call it before b is
// used.
func NewSync(store *Store, own string, b *Breaker, log *slog.Logger) *Sync {
	own = fmt.Sprintf("%s-%08x", own, rand.Uint32()) // two workers of one process are two
	s := &Sync{store: store, own: own, breaker: b, log: log, kick: make(chan struct{}, 1), last: time.Now()}
	b.post = s.post
	return s
}

// post queues an update. It does not block.
func (s *Sync) post(u update) {
	u.at = time.Now()
	s.mu.Lock()
	s.queue = append(s.queue[:s.flying], queued(s.queue[s.flying:], u)...)
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Run keeps in step until ctx ends.
func (s *Sync) Run(ctx context.Context) {
	ticker := time.NewTicker(syncEvery)
	defer ticker.Stop()
	for {
		s.note(s.sync(ctx))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-s.kick:
		}
	}
}

// note tells the breaker when the others have been out of reach for a moment.
func (s *Sync) note(err error) {
	switch {
	case err == nil && s.failing:
		s.log.Info("pauses are shared with the other workers again")
	case err != nil && !s.failing:
		s.log.Debug("pauses cannot be shared with the other workers", "error", err)
	}
	s.failing = err != nil
	if err == nil {
		s.last = time.Now()
	} else if time.Since(s.last) >= 2*syncEvery {
		s.breaker.lose()
	}
}

// First reads the shared state before anything is sent: something may be paused. It asks again
// where nobody answers, as a server that starts, but not for ever: that is also how a server keeps
// somebody from a bucket. Call it before Run.
func (s *Sync) First(ctx context.Context) {
	var err error
	for range firstTries {
		if err = s.sync(ctx); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) {
			break
		}
	}
	s.note(err)
}

// sync reads the shared state, makes the updates that are due and has the breaker follow it. Where
// they cannot be made it follows what was read.
func (s *Sync) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	for range maxRounds {
		if err := s.look(ctx); err != nil {
			return err
		}
		updates := s.due()
		err := s.make(ctx, updates)
		s.landed()
		if errors.Is(err, errChanged) {
			continue
		}
		s.follow(err == nil) // also where this worker may not, or cannot, write
		return err
	}
	return errChanged
}

// follow has the breaker take in the shared state as it was seen last.
func (s *Sync) follow(told bool) {
	busy := make(map[string]bool)
	s.mu.Lock()
	for _, u := range s.queue {
		busy[u.scope] = true
	}
	s.mu.Unlock()
	s.breaker.adopt(s.seen, s.at, s.own, busy, told)
}

func (s *Sync) look(ctx context.Context) error {
	data, revision, age, err := s.store.fetch(ctx)
	if err == nil && s.fresh && revision == s.revision && revision != 0 {
		s.damaged = 0
		return nil // thousands of pauses are not decoded twice a second
	}
	var state shared
	if err == nil {
		state, err = decodeShared(data)
	}
	damaged := errors.Is(err, errDamaged)
	if damaged || err == nil && revision == 0 && s.fresh && len(s.seen.Scopes) > 0 {
		return s.restore(ctx, revision, err)
	}
	s.damaged = 0
	if err != nil {
		return err
	}
	if s.fresh {
		age = 0 // written since the last look: a moment ago, whatever clocks say
	}
	s.seen, s.at, s.revision, s.fresh = state, time.Now().Add(-age), revision, true
	return nil
}

// restore puts back what this worker knows in place of a shared state that is gone or damaged:
// nobody takes a pause away like that. One that knows nothing leaves it to the others for a while.
func (s *Sync) restore(ctx context.Context, revision uint64, err error) error {
	if s.damaged++; !s.fresh && s.damaged < firstTries {
		return err
	}
	now := time.Now()
	state := shared{Scopes: map[string]sharedPause{}, Last: revision}
	if s.fresh {
		state = s.seen.after(now.Sub(s.at))
	}
	written, err := s.store.write(ctx, state, revision)
	if err != nil {
		return err
	}
	s.log.Warn("the pauses that workers share were deleted or damaged; what this worker knows of them was put back", "bucket", s.store.bucket,
		"key", sharedKey, "pauses", len(state.Scopes), "known", s.fresh)
	s.seen, s.at, s.revision, s.fresh, s.damaged = state, now, written, true, 0
	return nil
}

// landed says that no update is about to be in the shared state.
func (s *Sync) landed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying = 0
}

func (s *Sync) due() []update {
	renewals := s.breaker.renewals()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying = len(s.queue)
	return append(renewals, s.queue...)
}

// make writes the updates, if there are any to make, and takes them from the queue.
func (s *Sync) make(ctx context.Context, updates []update) error {
	if len(updates) == 0 {
		return nil
	}
	now := time.Now()
	state, changed := s.seen.after(now.Sub(s.at)), false
	for i, u := range updates {
		if u, is := u.due(now, updates[i+1:]); is {
			changed = state.apply(u, s.own) || changed
		}
	}
	if changed {
		revision, err := s.store.write(ctx, state, s.revision)
		if err != nil {
			return err
		}
		s.seen, s.at, s.revision = state, now, revision
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := 0
	for _, u := range updates {
		if mine < len(s.queue) && s.queue[mine] == u {
			mine++
		}
	}
	s.queue, s.flying = s.queue[mine:], 0
	return nil
}
