package worker_test

import (
	"context"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// A deliverer that panics may have sent the message: under hold it is not sent again, and
// otherwise not without saying so.
func TestGuarantee_APanicIsAnUnknownOutcome(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n == 1 {
				panic("after the request was written")
			}
			return outbox.Answer{Status: 200}, nil
		}
		stop := r.start(worker.Config{})
		id := r.publish(outbox.Message{})
		if e := r.awaitSettled(id); e.Settlement != outbox.Delivered || !e.PossibleDuplicate {
			t.Errorf("settled %s, possible duplicate %t", e.Settlement, e.PossibleDuplicate)
		}
		stop()
		r.start(worker.Config{Sources: holding})
		id = r.publish(outbox.Message{})
		if e := r.awaitSettled(id); e.Settlement != outbox.Held || len(r.far.Of(id)) != 1 {
			t.Errorf("under hold: settled %s after %d calls", e.Settlement, len(r.far.Of(id)))
		}
	})
}
