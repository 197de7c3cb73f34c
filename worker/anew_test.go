package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// The tests of this file make the work queue anew while everything else stays: its
// sequences begin again at 1.

func (r *rig) makeQueueAnew() {
	r.Helper()
	time.Sleep(time.Hour)
	if err := r.js.DeleteStream(r.Context(), "REDOX_OUT"); err != nil {
		r.Fatal(err)
	}
	if _, err := (outbox.Topology{Sources: []string{source}, Partitions: 4}).Ensure(r.Context(), r.js); err != nil {
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
		time.Sleep(time.Minute)
		if n := r.stored("REDOX_ADVISORIES"); n != 1 {
			t.Fatalf("%d advisories: the test shows nothing", n)
		}
		r.makeQueueAnew()
		r.publish(outbox.Message{ID: "new"})
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			time.Sleep(time.Minute)
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{})
		if e := r.awaitSettled("new"); e.Settlement != outbox.Delivered {
			t.Errorf("settled %s", e.Settlement)
		}
		time.Sleep(time.Minute)
		if n := r.stored("REDOX_DLQ"); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}
