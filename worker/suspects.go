package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/lease"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// A message whose delivery came to no end is a suspect: it may have killed its worker. Most
// often it was only there. So suspects are told apart by sending them in less and less
// company, in each worker:
//
//   - After one such delivery a message is sent as any other: what was in flight when a worker
//     was killed goes out at once.
//   - After two it is one of suspectsTogether.
//   - After three it is the only suspect. What ends then without an end of the attempt
//     counts, and Retry.PoisonAfter of that in a row settle it poison.
//
// From the second on a worker sends it when it has run for a while, the longer the more the
// message is suspected: whatever kills workers as they start is not blamed on it, and the
// least suspected go first. Who has no turn is given back. Messages that are no suspects are
// not held up by any of it.
const (
	suspectsTogether = 8
	// suspectsSettle is how long a worker has to run before it sends suspects that were lost
	// twice, and so much longer for each time that they were lost alone.
	suspectsSettle = 5 * time.Second
	// suspectsWait is how soon a suspect without a turn comes again, and suspectsWaitMax how
	// late where many wait.
	suspectsWait    = 2 * time.Second
	suspectsWaitMax = 30 * time.Second
	// suspectsPatience is for how long suspects that go alone ask in vain before the others
	// let one of them go first.
	suspectsPatience = time.Minute
)

// allTurns is the weight of a suspect that goes alone. One that was lost once weighs 1.
const allTurns = 1 << 20

type suspects struct {
	started time.Time
	turns   *semaphore.Weighted

	mu sync.Mutex
	// waiting are those that were given back lately, and until when they are expected.
	waiting map[lease.Key]time.Time
	// inVain is since when those that go alone ask in vain, and asked when one did last.
	inVain, asked time.Time
}

func newSuspects() *suspects {
	return &suspects{started: time.Now(), turns: semaphore.NewWeighted(allTurns), waiting: make(map[lease.Key]time.Time)}
}

// turn gives a suspect its turn. Without one it is decided that it comes again.
func (w *Worker) turn(d *delivery) (decided bool) {
	lost := d.record.Started
	if lost == 0 || w.config.Retry.PoisonAfter < 1 {
		return false
	}
	weight := int64(1)
	if lost > 1 {
		weight = allTurns / suspectsTogether
		uptime := time.Since(w.suspects.started)
		if early := suspectsSettle*time.Duration(1+d.record.Alone) - uptime; early > 0 {
			return d.decide(verdict{action: leave, delay: early + backoff.FullJitter(time.Second), err: "a suspect waits until its worker has run for a while"})
		}
	}
	if lost > 2 {
		weight = allTurns
	}
	if !w.suspects.take(weight, time.Now()) {
		return d.decide(verdict{action: leave, delay: w.suspects.wait(d.key(), time.Now()), err: "a suspect waits for its turn"})
	}
	w.suspects.came(d.key())
	d.turn = weight
	return false
}

// take reports whether so much of the turns was free, and not kept free for one that goes
// alone: with a few others always under way, none of these would ever find them all free.
func (s *suspects) take(weight int64, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.asked) > suspectsWaitMax { // by now they went elsewhere
		s.inVain = time.Time{}
	}
	if weight < allTurns {
		return (s.inVain.IsZero() || now.Sub(s.inVain) < suspectsPatience) && s.turns.TryAcquire(weight)
	}
	if s.turns.TryAcquire(weight) {
		s.inVain = time.Time{}
		return true
	}
	if s.asked = now; s.inVain.IsZero() {
		s.inVain = now
	}
	return false
}

// endTurn lets others have theirs.
func (w *Worker) endTurn(d *delivery) {
	if d.turn > 0 {
		w.suspects.turns.Release(d.turn)
		d.turn = 0
	}
}

func (d *delivery) key() lease.Key {
	return lease.Key{Sequence: d.message.Sequence, Stored: d.message.Stored.UnixNano()}
}

// wait is how long a suspect without a turn waits: longer the more of them there are, so that
// those who ask in vain are few.
func (s *suspects) wait(key lease.Key, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, until := range s.waiting {
		if now.After(until) {
			delete(s.waiting, other)
		}
	}
	s.waiting[key] = now.Add(suspectsWaitMax)
	most := min(max(suspectsWait, time.Duration(len(s.waiting))*suspectsWait/suspectsTogether), suspectsWaitMax)
	return most/4 + backoff.FullJitter(most)*3/4
}

func (s *suspects) came(key lease.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, key)
}

// poisonous is the verdict about a message that was lost alone so often.
func poisonous(rec *ledger.Record) verdict {
	return verdict{settlement: outbox.Poison, lost: rec.Started, err: fmt.Sprintf(
		"sent alone %d times in a row, and each time its worker was gone before the attempt ended: it may be killing its workers; it may have been sent %d times",
		rec.Alone, rec.Started+rec.Attempts)}
}

// alibi has the ledger know that a delivery came to no end because its lease was lost: this
// worker is alive, and the message is not to be suspected for it. Until NATS can be asked
// again that takes its time, for which nothing waits but Run.
func (w *Worker) alibi(d *delivery) {
	if d.contract != nil || !d.noted && d.delivered > 1 {
		return // nobody takes it for lost
	}
	m, alibi := d.message, ledger.Alibi{Noted: d.noted, Alone: d.noted && d.alone, Sent: d.verdict.unknown}
	m.Body = nil
	w.alibis.Go(func() {
		for tries := 1; w.settling.Err() == nil && tries < 20; tries++ {
			if w.conn.IsConnected() {
				ctx, cancel := context.WithTimeout(w.settling, stepTimeout)
				err := w.ledger.Exonerate(ctx, m, alibi)
				cancel()
				if err == nil {
					return
				}
			} else {
				tries = 1
			}
			if w.pulling.Err() != nil {
				return
			}
			sleep(w.pulling, backoff.Exponential(250*time.Millisecond, 5*time.Second, tries))
		}
	})
}
