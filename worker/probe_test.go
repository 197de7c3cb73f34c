package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// A message that is settled without being sent proves nothing about what it depends on. Its
// settlement, however long it takes, keeps no other from proving it.
func TestPause_AnUnsentProbeIsHandedOnBeforeItsSettlement(t *testing.T) {
	inBubble(t, func(r *rig) {
		dlq, err := r.js.Stream(r.Context(), "REDOX_DLQ")
		if err != nil {
			t.Fatal(err)
		}
		full := dlq.CachedInfo().Config
		full.MaxBytes = 1
		if _, err := r.js.UpdateStream(r.Context(), full); err != nil {
			t.Fatal(err)
		}
		r.far.Answer = func(_ context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			if n == 1 {
				return outbox.Answer{}, worker.NotAttempted(errFar, "key:main")
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Retry: worker.Retry{Initial: 10 * time.Second}, Sources: []worker.Source{
			{Name: source, Scopes: []string{"key:main"}}, {Name: "clinic-b", Scopes: []string{"key:main"}}}})
		id := r.publish(outbox.Message{})
		r.until("the key is paused", func() bool { return len(r.all(worker.EventPaused)) == 1 })
		r.publish(outbox.Message{Source: "clinic-b", ReplyTo: "other.subject"}) // poison
		time.Sleep(time.Minute)
		if e, ok := r.settled(id); !ok || e.Settlement != outbox.Delivered {
			t.Errorf("settled %q: the key stays paused", e.Settlement)
		}
		full.MaxBytes = -1
		if _, err := r.js.UpdateStream(r.Context(), full); err != nil {
			t.Fatal(err)
		}
		r.until("both settled", func() bool { return len(r.all(worker.EventSettled)) == 2 })
	})
}
