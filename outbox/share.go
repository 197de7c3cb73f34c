package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

const (
	// shareEvery is how old the last look at a queue that has a bound may be, and
	// shareUnbounded at one that has none.
	shareEvery     = time.Second
	shareUnbounded = 30 * time.Second
	// shareCost is what part of the time is spent looking at most: one in so many.
	shareCost = 20
)

// shares keeps a source from filling a queue that has a bound, of which the others would then
// have nothing. It counts what the queue held at the last look, and what was published here
// since. It is safe for concurrent use.
type shares struct {
	js     jetstream.JetStream
	prefix contract.Prefix
	most   float64 // of the queue that one source may have

	mu      sync.Mutex
	next    time.Time // of the next look
	looking bool
	limits  jetstream.StreamConfig
	all     int64            // messages in the queue
	bytes   int64            // of all of them, their headers and what the server adds included
	own     map[string]int64 // messages of each source; nil while no source can have its share
}

// check refuses a message of a source that has its share of the queue.
func (s *shares) check(ctx context.Context, source string) error {
	s.mu.Lock()
	if !s.looking && !time.Now().Before(s.next) {
		s.looking = true
		s.mu.Unlock()
		s.look(ctx)
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	if s.own == nil || !s.over(s.own[source]+1) {
		return nil
	}
	return fmt.Errorf("%w: it has %d messages there, and may have %g %% of what the queue holds (queue.max_share): publish again when some are delivered", ErrShareFull, s.own[source], s.most*100)
}

// published counts a message that was stored.
func (s *shares) published(source string, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all, s.bytes = s.all+1, s.bytes+bytes
	if s.own != nil {
		s.own[source]++
	} else if s.over(s.all) { // somebody may have
		s.next = time.Time{}
	}
}

// over reports whether so many messages are more than a share. Bytes of one source are not
// known: its messages count as average ones.
func (s *shares) over(messages int64) bool {
	return s.limits.MaxMsgs > 0 && float64(messages) > s.most*float64(s.limits.MaxMsgs) ||
		s.limits.MaxBytes > 0 && float64(messages)*float64(s.bytes)/float64(max(s.all, 1)) > s.most*float64(s.limits.MaxBytes)
}

// look asks for the state of the queue. While it cannot be had, the last one counts.
func (s *shares) look(ctx context.Context) {
	began := time.Now()
	info, own, err := s.ask(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looking = false
	wait := max(shareEvery, time.Since(began)*shareCost)
	if err == nil {
		s.limits, s.all, s.bytes, s.own = info.Config, int64(info.State.Msgs), int64(info.State.Bytes), own
		if s.limits.MaxMsgs <= 0 && s.limits.MaxBytes <= 0 {
			wait = shareUnbounded
		}
	}
	s.next = time.Now().Add(wait)
}

// ask reads what the queue holds, and of whom where all of it together is more than a share.
func (s *shares) ask(ctx context.Context) (info *jetstream.StreamInfo, own map[string]int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	queue, err := s.js.Stream(ctx, s.prefix.OutStream())
	if err != nil {
		return nil, nil, err
	}
	info = queue.CachedInfo()
	all := shares{most: s.most, limits: info.Config, all: int64(info.State.Msgs), bytes: int64(info.State.Bytes)}
	if !all.over(all.all) {
		return info, nil, nil
	}
	if info, err = queue.Info(ctx, jetstream.WithSubjectFilter(s.prefix.OutSubjects())); err != nil {
		return nil, nil, err
	}
	own = make(map[string]int64)
	for subject, n := range info.State.Subjects {
		if source, _, _, err := s.prefix.ParseOut(subject); err == nil {
			own[source] += int64(n)
		}
	}
	return info, own, nil
}
