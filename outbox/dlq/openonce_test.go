package dlq

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/uploads"
)

// silentJS keeps everybody waiting who opens a bucket.
type silentJS struct {
	jetstream.JetStream
	asked, answer chan struct{}
}

func (s silentJS) KeyValue(context.Context, string) (jetstream.KeyValue, error) {
	s.asked <- struct{}{}
	<-s.answer
	return nil, jetstream.ErrBucketNotFound
}

// While a bucket is opened nobody waits for another's request: its time may be longer.
func TestOpenOnce_NobodyWaitsForAnother(t *testing.T) {
	t.Parallel()
	js := silentJS{asked: make(chan struct{}), answer: make(chan struct{})}
	files, held := uploads.New(js, "", time.Hour), NewHeldTokens(js, "")
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			if _, err := files.Uploaded(t.Context(), "clinic-a", "f"); !errors.Is(err, outbox.ErrNoStream) {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, err := held.Load(t.Context(), "clinic-a", heldTestToken); !errors.Is(err, outbox.ErrNoStream) {
				t.Error(err)
			}
		})
	}
	for n := range 4 {
		select {
		case <-js.asked:
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of 4 have asked for the bucket, the others wait", n)
		}
	}
	close(js.answer)
	all.Wait()
}
