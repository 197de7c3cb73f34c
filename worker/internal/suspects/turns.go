// Package suspects shares out the turns of messages that may have killed their workers.
//
// A message whose delivery came to no end is a suspect. Most often it only happened to be there.
// So suspects are told apart by sending them in less and less company, in each worker:
//
//   - After one such delivery a message is sent like any other: what was in flight when a worker
//     was killed goes out at once.
//   - After two it is one of eight.
//   - After three it is the only suspect. If the delivery ends then without an end of the
//     attempt, that counts against the message; package worker settles it poison after several of
//     those in a row.
//
// From the second on a worker sends it only after having run for a while, the longer the more the
// message is suspected: whatever kills workers as they start is not blamed on it, and the least
// suspected go first. A suspect without a turn is handed back. Messages that are no suspects do
// not wait for any of this.
package suspects

import (
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/lease"
)

const (
	// together is how many suspects that were lost twice go at once.
	together = 8
	// settle is how long a worker has to run before it sends suspects that were lost twice, and
	// so much longer for each time that they were lost alone.
	settle = 5 * time.Second
	// waitLeast is how soon a suspect without a turn comes again, waitMost how late where many
	// wait.
	waitLeast = 2 * time.Second
	waitMost  = 30 * time.Second
	// inVainMost is for how long suspects that go alone ask in vain before the others let one of
	// them go first.
	inVainMost = time.Minute
)

// all is the weight of a suspect that goes alone. One that was lost once weighs 1.
const all = 1 << 20

// Turn is the right of a suspect to be sent. The zero value is no turn.
type Turn struct{ weight int64 }

// Alone reports whether no other suspect is sent at the same time.
func (t Turn) Alone() bool { return t.weight == all }

// Turns are those of one worker. It is safe for concurrent use.
type Turns struct {
	started time.Time
	free    *semaphore.Weighted

	mu sync.Mutex
	// waiting are those that were handed back lately, and until when they are expected.
	waiting map[lease.Key]time.Time
	// inVain is since when those that go alone ask in vain, and asked when one did last.
	inVain, asked time.Time
}

// New returns the turns of a worker that starts now.
func New() *Turns {
	return &Turns{started: time.Now(), free: semaphore.NewWeighted(all), waiting: make(map[lease.Key]time.Time)}
}

// Take asks for the turn of a message that was lost so often, and so often alone. Without a turn
// it returns after what delay the message is to come again, and why: a safe text. It does not
// block. A turn that was taken is to be ended.
func (s *Turns) Take(key lease.Key, lost, alone int) (turn Turn, wait time.Duration, why string) {
	weight := int64(1)
	if lost > 1 {
		weight = all / together
		if early := settle*time.Duration(1+alone) - time.Since(s.started); early > 0 {
			return Turn{}, early + backoff.FullJitter(time.Second), "a suspect waits until its worker has run for a while"
		}
	}
	if lost > 2 {
		weight = all
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.take(weight, now) {
		return Turn{}, s.wait(key, now), "a suspect waits for its turn"
	}
	delete(s.waiting, key)
	return Turn{weight}, 0, ""
}

// End lets others have the turn. It does nothing where there is none, and leaves none.
func (s *Turns) End(t *Turn) {
	if t.weight > 0 {
		s.free.Release(t.weight)
		t.weight = 0
	}
}

// take reports whether so much of the turns was free, and not kept free for one that goes
// alone: with a few others always under way, none of these would ever find them all free.
func (s *Turns) take(weight int64, now time.Time) bool {
	if now.Sub(s.asked) > waitMost { // by now they went elsewhere
		s.inVain = time.Time{}
	}
	if weight < all {
		return (s.inVain.IsZero() || now.Sub(s.inVain) < inVainMost) && s.free.TryAcquire(weight)
	}
	if s.free.TryAcquire(weight) {
		s.inVain = time.Time{}
		return true
	}
	if s.asked = now; s.inVain.IsZero() {
		s.inVain = now
	}
	return false
}

// wait is how long a suspect without a turn waits: longer the more of them there are, so that
// few ask in vain.
func (s *Turns) wait(key lease.Key, now time.Time) time.Duration {
	for other, until := range s.waiting {
		if now.After(until) {
			delete(s.waiting, other)
		}
	}
	s.waiting[key] = now.Add(waitMost)
	most := min(max(waitLeast, time.Duration(len(s.waiting))*waitLeast/together), waitMost)
	return most/4 + backoff.FullJitter(most)*3/4
}
