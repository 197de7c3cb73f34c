package worker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// A message that nobody hears of, stored just after a look that found nothing, is pulled at the
// next look and not at the one after that. So it is with what is stored while a worker starts,
// between its first look and its subscription.
func TestSurvey_ALookThatFindsNothingDoesNotDelayTheNext(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.reshape("REDOX_OUT", func(c *jetstream.StreamConfig) { c.RePublish = nil })
		sources := []worker.Source{{Name: source}}
		w, _ := r.launch(worker.Config{Sources: sources})
		synctest.Wait() // it has looked
		id, stored := r.publish(outbox.Message{}), time.Now()
		if err := w.SetSources(sources); err != nil { // it looks again
			t.Fatal(err)
		}
		r.awaitSettled(id)
		if took := time.Since(stored); took > 500*time.Millisecond {
			t.Errorf("it was settled %v after it was stored, want at the next look", took)
		}
	})
}
