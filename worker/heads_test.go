package worker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// deliveries is how many the consumer of the source's SENDs has made.
func (r *rig) deliveries() uint64 {
	r.Helper()
	c, err := r.consumer(source + "-send")
	if err != nil {
		r.Fatal(err)
	}
	return c.CachedInfo().Delivered.Consumer
}

// keptOrder checks that the calls of each token were one after the other, in the order in
// which they were published: ids are token/number.
func keptOrder(t *testing.T, calls []workertest.Call) {
	t.Helper()
	last := map[string]workertest.Call{}
	for _, c := range calls {
		token, number, _ := strings.Cut(c.ID, "/")
		if before, ok := last[token]; ok {
			if _, n, _ := strings.Cut(before.ID, "/"); fmt.Sprintf("%8s", n) > fmt.Sprintf("%8s", number) {
				t.Errorf("%s was sent after %s", c.ID, before.ID)
			}
			if before.End.IsZero() || before.End.After(c.Start) {
				t.Errorf("%s was sent while %s was", c.ID, before.ID)
			}
		}
		last[token] = c
	}
}

func (r *rig) crowd(tokens, each int) {
	for n := range each {
		for token := range tokens {
			r.ordered(fmt.Sprintf("t%d/%d", token, n), fmt.Sprint("t", token))
		}
	}
}

// One token with many messages, and many with a few: each goes once, in its turn, and few
// deliveries are in vain.
func TestHeads_GoOneAfterTheOther(t *testing.T) {
	for _, size := range []struct{ tokens, each, workers int }{{1, 1, 1}, {1, 500, 1}, {1, 200, 3}, {300, 5, 1}, {100, 5, 3}} {
		t.Run(fmt.Sprintf("%d tokens of %d, %d workers", size.tokens, size.each, size.workers), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
					bubble.Sleep(time.Duration(5+rand.IntN(20)) * time.Millisecond)
					return outbox.Answer{Status: 200}, nil
				}
				r.crowd(size.tokens, size.each)
				total := size.tokens * size.each
				start := time.Now()
				for range size.workers {
					r.start(worker.Config{})
				}
				r.until("all settled", func() bool { return len(r.all(worker.EventSettled)) == total })
				took := time.Since(start)
				keptOrder(t, r.far.Calls())
				if n := len(r.far.Calls()); n != total {
					t.Errorf("%d calls for %d messages", n, total)
				}
				for _, e := range r.all(worker.EventSettled) {
					if e.PossibleDuplicate {
						t.Errorf("%s is said to be a possible duplicate", e.MessageID)
					}
				}
				vain := float64(r.deliveries())/float64(total) - 1
				ideal := time.Duration(size.each) * 15 * time.Millisecond
				t.Logf("%v, %.1f times the answers of one token; %.2f deliveries in vain a message", took, float64(took)/float64(ideal), vain)
				if vain > 3 {
					t.Errorf("%.2f deliveries in vain a message", vain)
				}
				if size.each >= 100 && took > ideal*3/2 {
					t.Errorf("%v, where the answers of one token take %v", took, ideal)
				}
			})
		})
	}
}

// A head that fails for half an hour holds up its own token only, and costs few deliveries.
func TestHeads_AStuckOneHoldsUpNobodyElse(t *testing.T) {
	const followers, others, half = 1000, 10, 30 * time.Minute
	inBubble(t, func(r *rig) {
		stuck := time.Now().Add(half)
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			bubble.Sleep(5 * time.Millisecond)
			if m.ID == "t0/0" && time.Now().Before(stuck) {
				return outbox.Answer{Status: 400}, errFar // nothing is paused
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.crowd(1, followers+1)
		r.start(worker.Config{})
		bubble.Sleep(5 * time.Minute)
		before := r.deliveries()
		worst := time.Duration(0)
		for i := range others {
			id := fmt.Sprintf("other%d", i)
			r.ordered(id, id)
			if i%2 == 0 {
				id = r.publish(outbox.Message{})
			}
			worst = max(worst, r.awaitSettled(id).Duration)
			bubble.Sleep(time.Minute)
		}
		rate := float64(r.deliveries()-before) / (others * 60)
		t.Logf("others waited %v at most; %.1f deliveries a second", worst, rate)
		if worst > 2*time.Second || rate > 10 {
			t.Errorf("others waited %v at most; %.1f deliveries a second", worst, rate)
		}
		freed := time.Time{}
		r.until("the head is delivered", func() bool { _, ok := r.settled("t0/0"); return ok })
		freed = time.Now()
		r.until("all are", func() bool { return r.stored("REDOX_OUT") == 0 })
		took := time.Since(freed)
		t.Logf("its followers took %v, %v each", took, took/followers)
		if took > followers*50*time.Millisecond {
			t.Errorf("its followers took %v", took)
		}
		var calls []workertest.Call
		for _, c := range r.far.Calls() {
			if strings.HasPrefix(c.ID, "t0/") && c.ID != "t0/0" {
				calls = append(calls, c)
			}
		}
		keptOrder(t, calls)
	})
}

// What was found to be the first when its predecessor was settled is not asked about again: an
// answer that does not come, or is of another leader, would leave those behind it in hand for good.
func TestHeads_AreAskedForOnce(t *testing.T) {
	const n = 60
	inBubble(t, func(r *rig) {
		var asks atomic.Int64
		_, err := r.js.Conn().Subscribe("$JS.API.STREAM.MSG.GET.REDOX_OUT", func(*nats.Msg) { asks.Add(1) })
		r.must(err)
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(time.Second)
			return outbox.Answer{Status: 200}, nil
		}
		r.crowd(1, n)
		r.start(worker.Config{})
		r.until("all settled", func() bool { return len(r.all(worker.EventSettled)) == n })
		keptOrder(t, r.far.Calls())
		if asked := asks.Load(); asked >= 2*n-1 {
			t.Errorf("%d questions for %d messages", asked, n)
		}
	})
}
