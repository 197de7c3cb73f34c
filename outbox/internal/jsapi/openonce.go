package jsapi

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// OpenBucket looks a bucket up by its name.
func OpenBucket(ctx context.Context, js jetstream.JetStream, name string) (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	kv, err := js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("outbox: open bucket %s: %w: run `redoxworker provision`", name, ErrNoStream)
	}
	return kv, Explain(err, js, "open bucket "+name)
}

// OpenOnce returns what place holds and fills it if it is empty. Callers that
// come at the same time may each open it: nobody waits for another's request.
func OpenOnce[T comparable](mu *sync.Mutex, place *T, open func() (T, error)) (T, error) {
	var none T
	mu.Lock()
	have := *place
	mu.Unlock()
	if have != none {
		return have, nil
	}
	got, err := open()
	if err != nil {
		return none, err
	}
	mu.Lock()
	defer mu.Unlock()
	*place = got
	return got, nil
}
