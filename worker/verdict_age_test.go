package worker_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// badDays are what a far side does for longer than MaxAge. None of it is a message's fault.
var badDays = map[string]func() (outbox.Answer, error){
	"503": func() (outbox.Answer, error) { return outbox.Answer{Status: 503}, errFar },
	"502, then 504": func() (outbox.Answer, error) {
		if time.Now().Second()%2 == 0 {
			return outbox.Answer{Status: 504}, worker.UnknownOutcome(errFar)
		}
		return outbox.Answer{Status: 502}, errFar
	},
	"no answer":             func() (outbox.Answer, error) { return outbox.Answer{}, worker.UnknownOutcome(errFar) },
	"429":                   func() (outbox.Answer, error) { return outbox.Answer{Status: 429}, throttled{errFar} },
	"429, pausing nothing":  func() (outbox.Answer, error) { return outbox.Answer{Status: 429}, errFar },
	"429, by a Retry-After": func() (outbox.Answer, error) { return outbox.Answer{Status: 429}, worker.RetryAfter(errFar, time.Hour) },
	"refused connections":   func() (outbox.Answer, error) { return outbox.Answer{}, worker.NotAttempted(errFar, "host:far") },
	"no token":              func() (outbox.Answer, error) { return outbox.Answer{}, worker.NotAttempted(errFar, "key:main") },
	"tokens that are refused (401)": func() (outbox.Answer, error) {
		return outbox.Answer{Status: 401}, worker.NotAttempted(errFar, "key:main")
	},
}

// scoped depends on all that can be paused.
var scoped = []worker.Source{{Name: source, Scopes: []string{"key:main", "host:far", "group:default"}}}

// An outage longer than MaxAge, and some minutes of failures after it, bury nothing: neither
// what waited nor what probed.
func TestAge_AnOutageBuriesNothing(t *testing.T) {
	const messages, maxAge, outage = 10, 20 * time.Minute, 25 * time.Minute
	for name, down := range badDays {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				start := time.Now()
				r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
					bubble.Sleep(50 * time.Millisecond)
					switch since := time.Since(start); {
					case since < outage:
						return down()
					case since < outage+3*time.Minute:
						return outbox.Answer{Status: 503}, errFar
					}
					return outbox.Answer{Status: 200}, nil
				}
				r.start(worker.Config{Sources: scoped, Retry: worker.Retry{MaxAge: maxAge, MaxAttempts: 6}})
				for i := range messages {
					r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
				}
				r.ordered("first", "patient")
				r.ordered("second", "patient")
				bubble.Sleep(outage)
				r.until("all are settled", func() bool { return len(r.all(worker.EventSettled)) == messages+2 })
				for _, e := range r.all(worker.EventSettled) {
					if e.Settlement != outbox.Delivered {
						t.Errorf("%s: %s after %d attempts: %s", e.MessageID, e.Settlement, e.Attempt, e.Error)
					}
				}
			})
		})
	}
}

// The same in a worker's lifetime and across workers: what one has counted, another goes on with.
func TestAge_CountsFromTheFirstAttempt(t *testing.T) {
	inBubble(t, func(r *rig) {
		var token atomic.Bool
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			if !token.Load() {
				return outbox.Answer{}, worker.NotAttempted(errFar, "key:main")
			}
			return outbox.Answer{Status: 503}, errFar // of no host: nothing is paused
		}
		config := worker.Config{Sources: []worker.Source{{Name: source, Scopes: []string{"key:main"}}}, Retry: worker.Retry{MaxAge: time.Hour, Max: 5 * time.Minute}}
		stop := r.start(config)
		id := r.publish(outbox.Message{})
		bubble.Sleep(3 * time.Hour) // it waits for a token
		first := time.Now()
		token.Store(true)
		bubble.Sleep(30 * time.Minute)
		stop()
		stopped := time.Now()
		bubble.Sleep(5 * time.Hour) // no worker
		away := time.Since(stopped)
		stop = r.start(config)
		bubble.Sleep(10 * time.Minute)
		if n := len(r.all(worker.EventSettled)); n != 0 {
			t.Fatalf("given up after 40 minutes of attempts")
		}
		e := r.awaitSettled(id)
		tried := time.Since(first) - away
		if e.Settlement != outbox.Expired || tried < 55*time.Minute || tried > 70*time.Minute {
			t.Errorf("settled %s after %v of attempts, want expired after an hour", e.Settlement, tried)
		}
		stop()
	})
}

// A message that is to blame itself is given up all the same: others get through.
func TestAge_AMessageThatFailsByItselfIsGivenUp(t *testing.T) {
	for name, want := range map[string]struct {
		retry      worker.Retry
		settlement outbox.Settlement
	}{
		"by its age":      {worker.Retry{MaxAge: 2 * time.Hour}, outbox.Expired},
		"by its attempts": {worker.Retry{MaxAttempts: 8}, outbox.Exhausted},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
					if m.ID == "bad" {
						return outbox.Answer{Status: 500}, errFar
					}
					return outbox.Answer{Status: 200}, nil
				}
				r.start(worker.Config{Sources: scoped, Retry: want.retry})
				start := time.Now()
				r.publish(outbox.Message{ID: "bad"})
				for done := false; !done; _, done = r.settled("bad") {
					if bubble.Sleep(20 * time.Second); time.Since(start) > 5*time.Hour {
						t.Fatal("never given up")
					}
					r.publish(outbox.Message{})
				}
				if e, _ := r.settled("bad"); e.Settlement != want.settlement {
					t.Errorf("settled %s after %d attempts: %s", e.Settlement, e.Attempt, e.Error)
				}
			})
		})
	}
}

// A deadline stays what it is, whatever is paused.
func TestAge_DeadlinesHold(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{Status: 503}, errFar
		}
		r.start(worker.Config{Sources: scoped})
		inbox, replies := r.inbox()
		start := time.Now()
		r.publish(outbox.Message{ID: "request", Lane: contract.LaneRequest, ReplyTo: inbox})
		r.publish(outbox.Message{ID: "deadline", Deadline: start.Add(10 * time.Minute), ReplyTo: inbox})
		for id, limit := range map[string]time.Duration{"request": 5 * time.Minute, "deadline": 10 * time.Minute} {
			if e := r.awaitSettled(id); e.Settlement != outbox.Expired || e.Duration > limit+10*time.Second {
				t.Errorf("%s: %s after %v", id, e.Settlement, e.Duration)
			}
		}
		r.until("both callers are told", func() bool { return len(replies()) == 2 })
	})
}
