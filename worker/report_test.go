package worker_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
)

// What the worker cannot rule out, it says: a message that somebody had and did not bring
// to an end is a possible duplicate; one that was handed back unsent is not.
func TestGuarantee_PossibleDuplicatesAreSaid(t *testing.T) {
	inBubble(t, func(r *rig) {
		id := r.publish(outbox.Message{})
		r.lose()
		var entries []audit.Entry
		stop := r.start(worker.Config{Audit: func(_ context.Context, e audit.Entry) error { entries = append(entries, e); return nil }})
		if e := r.awaitSettled(id); !e.PossibleDuplicate || e.Settlement != outbox.Delivered {
			t.Errorf("settled %s, possible duplicate %v: a delivery before ended without a trace", e.Settlement, e.PossibleDuplicate)
		}
		if len(entries) != 1 || !entries[0].PossibleDuplicate || entries[0].Message != id || entries[0].Deliveries != 2 {
			t.Errorf("audit entries %+v", entries)
		}
		stop()
	})
}

func TestGuarantee_UnsentMessagesAreNoDuplicates(t *testing.T) {
	inBubble(t, func(r *rig) {
		var up atomic.Bool
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			if !up.Load() {
				return outbox.Answer{}, worker.NotAttempted(errFar, "key:main")
			}
			time.Sleep(20 * time.Second)
			return outbox.Answer{Status: 200}, nil
		}
		stop := r.start(worker.Config{Concurrency: 4})
		r.publish(outbox.Message{ID: "first"})
		time.Sleep(time.Minute)
		up.Store(true)
		if e := r.awaitSettled("first"); e.PossibleDuplicate || e.Delivered < 3 || e.Attempt != 1 {
			t.Errorf("%+v: it waited, and was never sent before", e)
		}
		for i := range 10 {
			r.ordered(fmt.Sprint("m", i), "patient")
		}
		calls := len(r.far.Calls())
		r.until("the head is in flight", func() bool { return len(r.far.Calls()) > calls })
		time.Sleep(time.Second)
		stop() // hands back what is kept in hand
		r.start(worker.Config{})
		r.until("all settled", func() bool { return len(r.all(worker.EventSettled)) == 11 })
		again := 0
		for _, e := range r.all(worker.EventSettled) {
			if e.Delivered > 1 && e.MessageID != "first" {
				again++
			}
			if e.PossibleDuplicate {
				t.Errorf("%s: a possible duplicate, and it was only handed back", e.MessageID)
			}
		}
		if again == 0 {
			t.Error("nothing was handed back: the test shows nothing")
		}
	})
}
