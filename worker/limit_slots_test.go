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

// fillSlots publishes 20 messages, of which the first four are answered late: those that
// fill the slots of a worker.
func (r *rig) fillSlots() {
	r.Helper()
	r.far.Answer = func(ctx context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
		if m.ID < "m04" {
			select {
			case <-time.After(140 * time.Second):
			case <-ctx.Done():
			}
		}
		return outbox.Answer{Status: 200}, nil
	}
	for i := range 20 {
		r.publish(outbox.Message{ID: fmt.Sprintf("m%02d", i)})
	}
}

// What a worker has no slot for, because Redox answers slowly, is not kept from a worker
// that has one; and that it was pulled does not make it a possible duplicate.
func TestRun_FullSlotsHoldNoMessagesBack(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.fillSlots()
		start := time.Now()
		config := worker.Config{Concurrency: 4, AckWait: 30 * time.Second}
		r.start(config)
		bubble.Sleep(5 * time.Second)
		r.start(config)
		for i := 4; i < 20; i++ {
			r.awaitSettled(fmt.Sprintf("m%02d", i))
		}
		if took := time.Since(start); took > 20*time.Second {
			r.Errorf("with a worker that has slots, the rest took %v", took)
		}
		for i := range 20 {
			if e := r.awaitSettled(fmt.Sprintf("m%02d", i)); e.PossibleDuplicate {
				r.Errorf("%s is said to be a possible duplicate", e.MessageID)
			}
		}
		if n := len(r.far.Calls()); n != 20 {
			r.Errorf("%d calls, want 20", n)
		}
	})
}

// The same with one worker, which has to wait for its own slots.
func TestRun_FullSlotsMakeNoDuplicates(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.fillSlots()
		start := time.Now()
		r.start(worker.Config{Concurrency: 4, AckWait: 30 * time.Second, Retry: worker.Retry{PoisonAfter: 1}})
		for i := range 20 {
			if e := r.awaitSettled(fmt.Sprintf("m%02d", i)); e.PossibleDuplicate || e.Settlement != outbox.Delivered {
				r.Errorf("%s: %s, possible duplicate %t", e.MessageID, e.Settlement, e.PossibleDuplicate)
			}
		}
		if took := time.Since(start); took > 145*time.Second {
			r.Errorf("all took %v, though the slots were free after 140s", took)
		}
	})
}
