// Package bucket opens the key-value buckets that workers share, and reads the errors of JetStream.
package bucket

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoJetStream is returned where the JetStream context is nil.
var ErrNoJetStream = errors.New("worker: there is no JetStream context: give what jetstream.New returned")

// Open looks a bucket up by its name. It is safe for concurrent use.
func Open(ctx context.Context, js jetstream.JetStream, name string) (jetstream.KeyValue, error) {
	if js == nil {
		return nil, ErrNoJetStream
	}
	kv, err := js.KeyValue(ctx, name)
	if err != nil {
		return nil, Error(name, err)
	}
	return kv, nil
}

// Error is err as the error of opening the named bucket: it advises provisioning where the bucket
// does not exist.
func Error(name string, err error) error {
	if errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("opening bucket %s (run `redoxworker provision`): %w", name, err)
	}
	return fmt.Errorf("opening bucket %s: %w", name, err)
}

// Refused reports whether what could not be written is not stored either, nor will be: the
// server said so, or there was none. Without an answer it may be.
func Refused(err error) bool {
	return errors.As(err, new(*jetstream.APIError)) || errors.Is(err, jetstream.ErrNoStreamResponse)
}
