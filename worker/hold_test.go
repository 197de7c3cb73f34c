package worker_test

import (
	"context"
	"encoding/json"
	"runtime"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

var holding = []worker.Source{{Name: source, Hold: func(outbox.Message) bool { return true }}}

func TestGuarantee_HoldNeverSendsTwice(t *testing.T) {
	for name, answer := range map[string]error{
		"unknown": worker.UnknownOutcome(errFar),
	} {
		inBubble(t, func(r *rig) {
			r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) { return outbox.Answer{}, answer }
			r.start(worker.Config{Sources: holding})
			id := r.publish(outbox.Message{})
			if e := r.awaitSettled(id); e.Settlement != outbox.Held || len(r.far.Calls()) != 1 {
				t.Errorf("%s: settled %s after %d calls, want held after 1", name, e.Settlement, len(r.far.Calls()))
			}
			if d := r.deadLetters(); len(d) != 1 || d[0].Settlement != outbox.Held {
				t.Errorf("%s: dead letters %+v", name, d)
			}
		})
	}
}

func TestGuarantee_HoldAfterADeathBetweenSendAndAnswer(t *testing.T) {
	inBubble(t, func(r *rig) {
		id := r.publish(outbox.Message{})
		r.lose()
		r.note(id, 1, map[string]any{"started": 1, "intent": true})
		r.start(worker.Config{Sources: holding})
		if e := r.awaitSettled(id); e.Settlement != outbox.Held || len(r.far.Calls()) != 0 {
			t.Errorf("settled %s after %d calls, want held unsent", e.Settlement, len(r.far.Calls()))
		}
	})
}

// However long it takes until another worker is there: over a weekend, say.
func TestGuarantee_HoldAfterADeathLongAgo(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			runtime.Goexit() // leaves behind what a death does
			return outbox.Answer{}, nil
		}
		stop := r.start(worker.Config{Sources: holding})
		id := r.publish(outbox.Message{})
		r.until("it was sent", func() bool { return len(r.far.Calls()) == 1 })
		stop()
		bubble.Sleep(72 * time.Hour)
		r.far.Answer = nil
		r.start(worker.Config{Sources: holding})
		if e := r.awaitSettled(id); e.Settlement != outbox.Held || len(r.far.Calls()) != 1 {
			t.Errorf("settled %s after %d calls, want held after 1", e.Settlement, len(r.far.Calls()))
		}
	})
}

func TestGuarantee_HoldWritesIntentBeforeSending(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			if n := r.records(); n != 1 {
				t.Errorf("%d ledger entries when the message is sent, want its intent", n)
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Sources: holding})
		r.awaitSettled(r.publish(outbox.Message{}))
	})
}

// What was settled stays settled: a worker that dies between reply and ack under hold
// leaves word, and nobody settles the message held whose caller was told otherwise.
func TestGuarantee_HoldLeavesWordBeforeTheAck(t *testing.T) {
	inBubble(t, func(r *rig) {
		stop := r.start(worker.Config{Sources: holding})
		first := r.publish(outbox.Message{})
		r.awaitSettled(first)
		stop()
		kv, err := r.js.KeyValue(r.Context(), "REDOX_LEDGER")
		if err != nil {
			t.Fatal(err)
		}
		entry, err := kv.Get(r.Context(), source+"."+contract.Prefix("").DeadToken(first, 1))
		if err != nil {
			t.Fatal(err)
		}
		var word map[string]any
		if err := json.Unmarshal(entry.Value(), &word); err != nil || word["settled"] != "delivered" {
			t.Fatalf("the ledger says %s, want settled delivered", entry.Value())
		}

		subject, replies := r.inbox()
		second := r.publish(outbox.Message{ReplyTo: subject})
		r.lose()
		word["intent"], word["started"] = true, 1
		delete(word, "stored") // it is that of the first
		r.note(second, 2, word)
		r.start(worker.Config{Sources: holding})
		if e := r.awaitSettled(second); e.Settlement != outbox.Delivered || len(r.far.Of(second)) != 0 {
			t.Errorf("settled %s after %d calls, want delivered, unsent", e.Settlement, len(r.far.Of(second)))
		}
		if n := len(r.deadLetters()) + len(replies()); n != 0 {
			t.Errorf("%d dead letters and replies, want none: all but the ack was done", n)
		}
	})
}
