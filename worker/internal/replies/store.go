// Package replies stores the durable replies of a worker in the stream REDOX_REPLIES, and
// remembers what the stream has refused.
package replies

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/bucket"
)

// Wait is how soon a stream is written to again that has refused something and seems to have
// room. It doubles to waitMax.
const (
	Wait    = 15 * time.Second
	waitMax = 5 * time.Minute
)

const (
	// lookEvery is for how long what was seen of the stream is believed.
	lookEvery = time.Second
	// lookRest is how long it is not looked at again when nobody answered: perhaps that is not
	// permitted.
	lookRest = time.Minute
	// lookTimeout is how long it has to answer.
	lookTimeout = 2 * time.Second
)

// Store writes to the stream of durable replies. Subscribers of a reply's subject get it each
// time that it is published, whether the stream takes it or not: so none is published again
// before the stream was seen to have room for it, and not to have it already. It is safe for
// concurrent use.
type Store struct {
	js     jetstream.JetStream
	stream string

	mu    sync.Mutex
	all   refusing            // whatever is written
	own   map[string]refusing // sources whose last reply was refused for what it is
	seen  error               // why nothing can be written, as last seen
	most  int32               // the size of a message that the stream takes, as last seen; −1: any
	until time.Time           // for how long what was seen is believed

	looking chan struct{} // closed when the stream has been asked; nil while nobody asks
}

// refusing is what the last write met.
type refusing struct {
	trouble  error // nil when it was confirmed
	refusals int   // in a row that nothing explained
	most     int32 // the size that the stream took when it refused one; 0: not known
	next     time.Time
}

// New returns a store for the stream of this name. It makes no request.
func New(js jetstream.JetStream, stream string) *Store { return &Store{js: js, stream: stream} }

// Put stores a message of a source. tried says that it was published before; Put sets it.
func (s *Store) Put(ctx context.Context, source string, msg *nats.Msg, tried *bool) error {
	if *tried { // perhaps it is stored, and only its confirmation was lost
		if there, err := topology.IsStored(ctx, s.js, s.stream, msg); there && err == nil {
			s.note(source, nil)
			return nil
		}
	}
	if *tried || s.Troubled(source) {
		if err := s.Shut(ctx, source); err != nil {
			return err
		}
	}
	*tried = true
	// No repeats by the client: each would be seen by all subscribers.
	_, err := s.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0))
	s.note(source, err)
	return err
}

// Troubled reports whether the last write failed that says something about those of a source.
func (s *Store) Troubled(source string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.trouble != nil || s.own[source].trouble != nil
}

func (s *Store) note(source string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.all = refusing{}
		delete(s.own, source)
	case forItself(err): // replies of other sources may be taken
		if s.own == nil {
			s.own = make(map[string]refusing)
		}
		s.own[source] = s.own[source].with(err)
	default:
		s.all = s.all.with(err)
	}
}

// with notes one more failure.
func (r refusing) with(err error) refusing {
	r.trouble = err
	// Without an answer it is looked for, and published again. Those that were under way together
	// are refused together, once.
	if now := time.Now(); bucket.Refused(err) && !now.Before(r.next) {
		r.refusals++
		r.next = now.Add(backoff.Exponential(Wait, waitMax, r.refusals))
	}
	return r
}

// forItself reports whether a stream refused a message for what it is: it, or its headers, are
// larger than the stream takes (nats-server, errors 10054 and 10097).
func forItself(err error) bool {
	var refusal *jetstream.APIError
	return errors.As(err, &refusal) && (refusal.ErrorCode == 10054 || refusal.ErrorCode == 10097)
}

// Shut is why nothing of a source should be written now; nil when something may.
func (s *Store) Shut(ctx context.Context, source string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if own := s.own[source]; now.Before(own.next) && !s.widened(ctx, source) {
		return fmt.Errorf("stream %s has refused a message of the source for its size: %w", s.stream, own.trouble)
	}
	if s.all.trouble == nil {
		return nil
	}
	s.look(ctx)
	if err := s.await(ctx); err != nil {
		return err
	}
	if s.all.trouble == nil { // one was taken meanwhile
		return nil
	}
	if s.seen == nil && now.Before(s.all.next) {
		return fmt.Errorf("stream %s has refused a message although it seems to have room (is the account's storage used up?): %w", s.stream, s.all.trouble)
	}
	return s.seen
}

// widened reports whether the stream takes larger messages than when it refused one of the source.
func (s *Store) widened(ctx context.Context, source string) bool {
	if s.look(ctx); s.most < 0 {
		return true
	}
	own, still := s.own[source]
	if !still { // one was taken meanwhile
		return true
	}
	if own.most == 0 {
		own.most = s.most
		s.own[source] = own
	}
	return s.most > own.most
}

// look notes what is wrong with the stream, unless that is known from a moment ago. The mutex,
// which is held, is free while the stream is asked: others go by what was seen before. It is asked
// for all of them, and so also when ctx ends: that says nothing about the stream.
func (s *Store) look(ctx context.Context) {
	if s.looking != nil || time.Now().Before(s.until) {
		return
	}
	asked := make(chan struct{})
	s.looking = asked
	defer close(asked)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	stream, err := s.js.Stream(ctx, s.stream)
	cancel()
	s.mu.Lock()
	before := s.seen
	s.looking, s.until = nil, time.Now().Add(lookEvery)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		s.seen = fmt.Errorf("stream %s does not exist: run `redoxworker provision`", s.stream)
	case err != nil: // nobody answered: perhaps that is not permitted
		s.seen, s.most, s.until = nil, 0, time.Now().Add(lookRest)
	default:
		s.seen, s.most = topology.Full(stream.CachedInfo()), stream.CachedInfo().Config.MaxMsgSize
	}
	if before != nil && s.seen == nil { // what kept it shut is over
		s.all.refusals, s.all.next = 0, time.Time{}
	}
}

// await waits for the answer that somebody else awaits: what is wrong with the stream may not have
// been seen before. It returns an error if ctx ends meanwhile. The mutex, which is held, is free
// until it returns.
func (s *Store) await(ctx context.Context) error {
	asked := s.looking
	if asked == nil {
		return nil
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-asked:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Refusals are the sources whose last reply was refused for what it is, and why.
func (s *Store) Refusals() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.own) == 0 {
		return nil
	}
	all := make(map[string]string, len(s.own))
	for source, r := range s.own {
		all[source] = fmt.Sprintf("stream %s refused a reply for its size: %v", s.stream, r.trouble)
	}
	return all
}
