package worker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// A puller whose messages end one by one asks for several at once, and loses next to no time by it.
func TestPull_AsksForSeveralAtOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		concurrency, messages int
		took                  func(i int) time.Duration
		pulls                 int // at most
		within                time.Duration
	}{
		"64 in flight": {64, 4000, func(i int) time.Duration { return 2*time.Millisecond + time.Duration(i*37%64)*50*time.Microsecond }, 800, 300 * time.Millisecond},
		"1,000 in flight": {1000, 4000, func(i int) time.Duration { return 100*time.Millisecond + time.Duration(i*37%1000)*20*time.Microsecond },
			800, 520 * time.Millisecond},
		"few":      {4, 400, func(i int) time.Duration { return time.Millisecond + time.Duration(i%4)*10*time.Microsecond }, 420, 110 * time.Millisecond},
		"far away": {64, 640, func(i int) time.Duration { return time.Second + time.Duration(i*37%64)*10*time.Millisecond }, 660, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				pulls, err := r.js.Conn().SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.>")
				r.must(err)
				r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
					bubble.Sleep(tc.took(int(m.Sequence)))
					return outbox.Answer{Status: 200}, nil
				}
				for range tc.messages {
					r.publish(outbox.Message{})
				}
				start := time.Now()
				r.start(worker.Config{Concurrency: tc.concurrency})
				r.until("all are sent", func() bool { return len(r.all(worker.EventSettled)) == tc.messages })
				calls := r.far.Calls()
				took := calls[len(calls)-1].End.Sub(calls[0].Start)
				n, _, err := pulls.Pending()
				r.must(err)
				t.Logf("%d messages with %d pulls in %v (%v)", tc.messages, n, took, time.Since(start))
				if n > tc.pulls || took > tc.within {
					t.Errorf("%d messages with %d pulls in %v, want at most %d in %v", tc.messages, n, took, tc.pulls, tc.within)
				}
			})
		})
	}
}

// A source most of whose slots hang does not wait for them with each of its messages.
func TestPull_WaitsNotForWhatHangs(t *testing.T) {
	inBubble(t, func(r *rig) {
		const hang, quick = 15, 500
		r.far.Answer = func(ctx context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if m.Sequence <= hang {
				<-ctx.Done()
				return outbox.Answer{}, ctx.Err()
			}
			bubble.Sleep(time.Millisecond)
			return outbox.Answer{Status: 200}, nil
		}
		for i := range hang + quick {
			r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
		}
		r.start(worker.Config{Concurrency: hang + 1})
		r.until("the quick ones are sent", func() bool { return len(r.all(worker.EventSettled)) == quick })
		first, last := r.far.Of(fmt.Sprint("m", hang)), r.far.Of(fmt.Sprint("m", hang+quick-1))
		if took := last[0].End.Sub(first[0].Start); took > quick*time.Millisecond*11/10 {
			t.Errorf("%d messages of 1ms, one after the other, took %v", quick, took)
		}
	})
}

// What was stored before its consumer was made is not looked up in the ledger one by one, and what
// the ledger has of it counts all the same.
func TestPull_LooksABacklogUpTogether(t *testing.T) {
	for name, noted := range map[string]bool{"nothing noted": false, "something noted": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				const messages = 1000
				r.far.Answer = func(_ context.Context, m outbox.Message, n int) (outbox.Answer, error) {
					if m.ID == "fails" && n == 1 {
						return outbox.Answer{Status: 500}, worker.RetryAfter(errFar, time.Hour)
					}
					bubble.Sleep(time.Millisecond + time.Duration(m.Sequence%64)*10*time.Microsecond)
					return outbox.Answer{Status: 200}, nil
				}
				if noted {
					stop := r.start(worker.Config{})
					r.publish(outbox.Message{ID: "fails"})
					r.until("it has failed", func() bool { return len(r.all(worker.EventRetry)) == 1 })
					stop()
					r.must(r.js.DeleteConsumer(context.Background(), "REDOX_OUT", source+"-send"))
					bubble.Sleep(time.Second)
				}
				for range messages {
					r.publish(outbox.Message{})
				}
				lookups, err := r.js.Conn().SubscribeSync("$JS.API.STREAM.MSG.GET.KV_REDOX_LEDGER")
				r.must(err)
				before := len(r.all(worker.EventSettled))
				r.start(worker.Config{Concurrency: 64})
				want := messages
				if noted {
					want++
				}
				r.until("all are sent", func() bool { return len(r.all(worker.EventSettled))-before == want })
				n, _, err := lookups.Pending()
				r.must(err)
				if !noted && n > messages/8 {
					t.Errorf("%d messages, looked up %d times", messages, n)
				}
				if e, ok := r.settled("fails"); ok != noted || ok && e.Attempt != 2 {
					t.Errorf("settled %v after %d attempts", ok, e.Attempt)
				}
			})
		})
	}
}

// What a puller has pulled ahead goes back when its slots hang, so that other workers may send it,
// and counts neither as an attempt nor as a possible duplicate.
func TestPull_WhatIsAheadGoesBack(t *testing.T) {
	inBubble(t, func(r *rig) {
		const quick, slots = 400, 8
		release := make(chan struct{})
		r.far.Answer = func(ctx context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if m.Sequence > quick && m.Sequence <= quick+slots {
				select {
				case <-release:
				case <-ctx.Done():
					return outbox.Answer{}, ctx.Err()
				}
			}
			bubble.Sleep(time.Millisecond + time.Duration(m.Sequence%8)*20*time.Microsecond)
			return outbox.Answer{Status: 200}, nil
		}
		for range 2 * quick {
			r.publish(outbox.Message{})
		}
		r.start(worker.Config{Concurrency: slots})
		r.until("the slots hang", func() bool { return len(r.all(worker.EventSettled)) >= quick })
		bubble.Sleep(time.Second)
		r.start(worker.Config{ID: "another", Concurrency: slots})
		r.until("another worker sends the rest", func() bool { return len(r.all(worker.EventSettled)) == 2*quick-slots })
		close(release)
		r.until("all are sent", func() bool { return len(r.all(worker.EventSettled)) == 2*quick })
		for _, e := range r.all(worker.EventSettled) {
			if e.Attempt != 1 || e.PossibleDuplicate {
				t.Errorf("%s: attempt %d, possible duplicate %v", e.MessageID, e.Attempt, e.PossibleDuplicate)
			}
		}
	})
}
