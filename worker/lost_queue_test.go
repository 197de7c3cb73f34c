package worker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/order"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// The tests of this file make the work queue anew while everything else stays: its
// sequences begin again at 1.

func (r *rig) makeQueueAnew() {
	r.Helper()
	bubble.Sleep(time.Hour)
	r.deleteQueue()
	r.provision()
}

func (r *rig) deleteQueue() {
	r.Helper()
	if err := r.js.DeleteStream(r.Context(), "REDOX_OUT"); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) provision() {
	r.Helper()
	if _, err := (topology.Topology{}).Ensure(r.Context(), r.js); err != nil {
		r.Fatal(err)
	}
}

// keepsWaiting has the far side answer one message when finish is called, all others at once
// and well.
func (r *rig) keepsWaiting(id string, answer outbox.Answer, err error) (finish func()) {
	finished := make(chan struct{})
	r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
		if m.ID == id {
			<-finished
			return answer, err
		}
		return outbox.Answer{Status: 200}, nil
	}
	return func() { close(finished) }
}

// plain publishes a message without an id, as any NATS client may.
func (r *rig) plain(body string) {
	r.Helper()
	if _, err := r.js.PublishMsg(r.Context(), &nats.Msg{Subject: "redox.out." + source + ".send", Data: []byte(body)}); err != nil {
		r.Fatal(err)
	}
}

// An advisory about a message of the old queue says nothing about one of the new queue.
func TestSweeper_LeavesMessagesOfAQueueMadeAnew(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.publish(outbox.Message{ID: "old"})
		c := r.limit(source+"-send", 1)
		if _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(time.Minute)
		if n := r.stored("REDOX_ADVISORIES"); n != 1 {
			t.Fatalf("%d advisories: the test shows nothing", n)
		}
		r.makeQueueAnew()
		r.publish(outbox.Message{ID: "new"})
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(time.Minute)
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{})
		if e := r.awaitSettled("new"); e.Settlement != outbox.Delivered {
			t.Errorf("settled %s", e.Settlement)
		}
		bubble.Sleep(time.Minute)
		if n := r.stored("REDOX_DLQ"); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// A message without an id has the name that one of the old queue had. What the ledger knows
// of that one is not about it.
func TestGuarantee_ALedgerEntryOfAnOldQueueSettlesNothing(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start(worker.Config{Sources: holding})
		r.plain(`{"n":1}`)
		r.awaitSettled("REDOX_OUT:1")
		r.makeQueueAnew()
		r.plain(`{"n":2}`)
		r.until("both settled", func() bool { return len(r.all(worker.EventSettled)) == 2 })
		if calls := r.far.Calls(); len(calls) != 2 || string(calls[1].Body) != `{"n":2}` {
			t.Errorf("%d calls: the second message was not sent", len(calls))
		}
	})
}

// Nor is an operator's decision about that one.
func TestGuarantee_ADecisionAboutAnOldQueueHoldsNothing(t *testing.T) {
	inBubble(t, func(r *rig) {
		failed := map[string]int{}
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if failed[string(m.Body)]++; failed[string(m.Body)] == 1 || string(m.Body) == `{"n":1}` {
				return outbox.Answer{Status: 503}, errFar
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{})
		plain := func(body string) {
			token, err := outbox.OrderToken([]byte("0123456789abcdef"), "patient")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.js.PublishMsg(r.Context(), &nats.Msg{Subject: "redox.out." + source + ".send." + token, Data: []byte(body)}); err != nil {
				t.Fatal(err)
			}
		}
		plain(`{"n":1}`)
		r.until("tried", func() bool { return len(r.far.Calls()) == 5 })
		if _, err := order.NewTokens(r.js, "").Hold(r.Context(), source, "REDOX_OUT:1"); err != nil {
			t.Fatal(err)
		}
		if e := r.awaitSettled("REDOX_OUT:1"); e.Settlement != outbox.Held {
			t.Fatalf("settled %s", e.Settlement)
		}
		r.makeQueueAnew()
		plain(`{"n":2}`)
		r.until("both settled", func() bool { return len(r.all(worker.EventSettled)) == 2 })
		if e := r.all(worker.EventSettled)[1]; e.Settlement != outbox.Delivered {
			t.Errorf("settled %s", e.Settlement)
		}
	})
}

// Its dead letter does not pass for one that is written already.
func TestGuarantee_ADeadLetterOfAnOldQueueReplacesNone(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{Status: 400}, worker.Permanent(errFar)
		}
		r.start(worker.Config{})
		r.plain(`{"n":1}`)
		r.awaitSettled("REDOX_OUT:1")
		r.makeQueueAnew()
		r.plain(`{"n":2}`)
		r.until("both settled", func() bool { return len(r.all(worker.EventSettled)) == 2 })
		var bodies []string
		for _, d := range r.deadLetters() {
			bodies = append(bodies, string(d.Body))
		}
		if got := strings.Join(bodies, " "); got != `{"n":1} {"n":2}` {
			t.Errorf("dead letters %s", got)
		}
	})
}

// Nor does the body of one that is too large for a message take the place of the other's.
func TestGuarantee_ALargeDeadLetterOfAnOldQueueKeepsItsBody(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{Status: 400}, worker.Permanent(errFar)
		}
		r.start(worker.Config{})
		large := func(first string) string {
			return first + strings.Repeat("x", int(r.js.Conn().MaxPayload())-len(first))
		}
		r.plain(large("1"))
		r.awaitSettled("REDOX_OUT:1")
		r.makeQueueAnew()
		r.plain(large("2"))
		r.until("both settled", func() bool { return len(r.all(worker.EventSettled)) == 2 })
		letters, err := dlq.New(r.js, dlq.Config{})
		if err != nil {
			t.Fatal(err)
		}
		var bodies []string
		for l, err := range letters.List(r.Context(), dlq.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			body, err := letters.Body(r.Context(), l)
			if err != nil || l.Object() == "" || len(body) == 0 {
				t.Fatalf("%s: object %q, %d bytes, %v", l.MessageID, l.Object(), len(body), err)
			}
			bodies = append(bodies, string(body))
		}
		if len(bodies) != 2 || bodies[0] != large("1") || bodies[1] != large("2") {
			t.Errorf("%d dead letters, or their bodies are not what was published", len(bodies))
		}
	})
}

// A message of the old queue that is still being sent is not acknowledged in the new one:
// that would remove a message that nobody has sent.
func TestGuarantee_ASettlementOfAnOldQueueAcknowledgesNothing(t *testing.T) {
	for name, ordered := range map[string]bool{"in any order": false, "in order": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				finish := r.keepsWaiting("old", outbox.Answer{Status: 200}, nil)
				publish := func(id string) {
					if ordered {
						r.ordered(id, "patient")
					} else {
						r.publish(outbox.Message{ID: id})
					}
				}
				r.start(worker.Config{})
				publish("old")
				r.until("it is being sent", func() bool { return len(r.far.Of("old")) == 1 })
				bubble.Sleep(time.Minute)
				r.deleteQueue()
				r.provision()
				publish("new")
				bubble.Sleep(10 * time.Second)
				finish()
				r.until("the new one was sent", func() bool { return len(r.far.Of("new")) == 1 })
				if e := r.awaitSettled("new"); e.Settlement != outbox.Delivered {
					t.Errorf("settled %s", e.Settlement)
				}
				r.awaitSettled("old")
			})
		})
	}
}

// Nor does it wait for the new queue to come as far as the old one had.
func TestGuarantee_ASettlementOfALongOldQueueEnds(t *testing.T) {
	inBubble(t, func(r *rig) {
		finish := r.keepsWaiting("old", outbox.Answer{Status: 200}, nil)
		r.start(worker.Config{})
		r.awaitSettled(r.publish(outbox.Message{}))
		r.ordered("old", "patient")
		r.until("it is being sent", func() bool { return len(r.far.Of("old")) == 1 })
		bubble.Sleep(time.Minute)
		r.deleteQueue()
		r.provision()
		r.ordered("new", "patient")
		finish()
		r.awaitSettled("old")
		r.awaitSettled("new")
	})
}

// Nor is it given back there: a message would be sent that somebody else has.
func TestGuarantee_ARetryOfAnOldQueueGivesNothingBack(t *testing.T) {
	inBubble(t, func(r *rig) {
		finish := r.keepsWaiting("old", outbox.Answer{Status: 503}, errFar)
		r.start(worker.Config{Concurrency: 1}) // it pulls nothing else meanwhile
		r.publish(outbox.Message{ID: "old"})
		r.until("it is being sent", func() bool { return len(r.far.Of("old")) == 1 })
		bubble.Sleep(time.Minute)
		r.deleteQueue()
		r.provision()
		r.publish(outbox.Message{ID: "new"})
		c, err := r.consumer(source + "-send")
		if err != nil {
			t.Fatal(err)
		}
		held, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		finish()
		bubble.Sleep(20 * time.Second)
		if n := len(r.far.Of("new")); n != 0 {
			t.Errorf("the new one was sent %d times although another has it", n)
		}
		if err := held.Nak(); err != nil {
			t.Fatal(err)
		}
		r.awaitSettled("new")
	})
}
