package worker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// A pause ends no pull that a message may be on its way to: such a message would lie idle
// until the end of its ack wait, and then count as a possible duplicate.
func TestPause_NoMessageLiesIdle(t *testing.T) {
	inBubble(t, func(r *rig) {
		const n = 32
		var up time.Time
		r.far.Answer = func(_ context.Context, _ outbox.Message, _ int) (outbox.Answer, error) {
			if time.Now().Before(up) {
				return outbox.Answer{}, worker.NotAttempted(errFar, "key:main")
			}
			return outbox.Answer{Status: 200}, nil
		}
		for i := range n {
			r.ordered(fmt.Sprint("m", i), fmt.Sprint("patient", i))
		}
		up = time.Now().Add(25 * time.Second) // several failed probes
		top := outbox.Topology{Sources: []string{source}, Partitions: 4, AckWait: 5 * time.Minute}
		if _, err := top.Ensure(r.Context(), r.js); err != nil {
			t.Fatal(err)
		}
		r.start(worker.Config{AckWait: top.AckWait})
		r.until("all are settled", func() bool { return len(r.all(worker.EventSettled)) == n })
		if late := time.Since(up); late > time.Minute { // of the pause, which is over sooner
			r.Errorf("the last message was settled %s after the far side was up", late)
		}
		for _, e := range append(r.all(worker.EventAttempt), r.all(worker.EventSettled)...) {
			if e.PossibleDuplicate {
				r.Errorf("%s of %s: marked as a possible duplicate, and nothing was sent before", e.Kind, e.MessageID)
			}
		}
	})
}
