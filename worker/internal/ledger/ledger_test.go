package ledger

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

// A source may have the name of a kind of keys: what an operator decided about its messages is
// not listed as a held token, a claim of a replay or an upload.
func TestLedger_NoSourceNamesAKindOfKeys(t *testing.T) {
	t.Parallel()
	l := New(nil, "")
	for _, source := range []string{"hold", "replay", "replayed", "file", "collect", "by-hand"} {
		key := l.key(outbox.Message{Source: source, ID: "m", Sequence: 7})
		if tokens := strings.Split(key, "."); len(tokens) != 2 {
			t.Errorf("key %s of a record has %d tokens", key, len(tokens))
		}
		if tokens := strings.Split(byHandKey(key), "."); len(tokens) != 3 || tokens[0] != "by-hand" {
			t.Errorf("key of a decision about a message of %s: %s", source, byHandKey(key))
		}
	}
}

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

// While the ledger is opened for one message, another's does not wait for that.
func TestLedger_NobodyWaitsForAnotherToOpenIt(t *testing.T) {
	t.Parallel()
	js := silentJS{asked: make(chan struct{}), answer: make(chan struct{})}
	l := New(js, "")
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			if _, _, err := l.Load(t.Context(), outbox.Message{Source: "clinic-a", ID: "m"}); !errors.Is(err, jetstream.ErrBucketNotFound) {
				t.Error(err)
			}
		})
	}
	for n := range 2 {
		select {
		case <-js.asked:
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of 2 have asked for the bucket, the other waits", n)
		}
	}
	close(js.answer)
	all.Wait()
}
