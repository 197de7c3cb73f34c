package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// serverKey is where workers leave word in the bucket REDOX_STATE which server they have
// seen: one that starts learns from it of a restart that it has not seen itself.
const serverKey = "server"

// requestTimeout is how long the bucket is waited for.
const requestTimeout = 2 * time.Second

// serverNote is what they leave.
type serverNote struct {
	Server string `json:"server"`
	// Since is when another server was there before; zero when there was none.
	Since time.Time `json:"since,omitzero"`
}

// Recall learns of a restart before this worker was there. Before that nothing may be
// pulled. Where several servers keep the state there is nothing to learn. When the bucket
// cannot be read the worker goes on without.
func (r *Restarts) Recall(ctx context.Context, js jetstream.JetStream, bucket string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		return fmt.Errorf("opening bucket %s: %w", bucket, err)
	}
	entry, err := kv.Get(ctx, serverKey)
	server := r.Look()
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return r.leave(ctx, kv)
	case err != nil:
		return fmt.Errorf("reading key %s of bucket %s: %w", serverKey, bucket, err)
	}
	var n serverNote
	now, at := time.Now(), time.Time{}
	if err := json.Unmarshal(entry.Value(), &n); err != nil || n.Server != server {
		n.Since = now
	}
	if !n.Since.IsZero() {
		at = now.Add(-max(0, now.Sub(n.Since))) // whatever becomes of this clock, and was wrong with the other
	}
	r.mu.Lock()
	r.at = at
	r.mu.Unlock()
	return r.leave(ctx, kv)
}

// leave word of the server that answers now.
func (r *Restarts) leave(ctx context.Context, kv jetstream.KeyValue) error {
	r.mu.Lock()
	n := serverNote{Server: r.server, Since: r.at}
	left := r.left == n
	r.mu.Unlock()
	if left || n.Server == "" {
		return nil
	}
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if _, err := kv.Put(ctx, serverKey, data); err != nil {
		return fmt.Errorf("writing key %s of bucket %s: %w", serverKey, kv.Bucket(), err)
	}
	r.mu.Lock()
	r.left = n
	r.mu.Unlock()
	return nil
}

// Watch leaves word of every change until ctx ends.
func (r *Restarts) Watch(ctx context.Context, js jetstream.JetStream, bucket string) {
	ticker := time.NewTicker(r.ackWait / 10)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		r.Look()
		if r.mu.Lock(); r.left.Server == r.server {
			r.mu.Unlock()
			continue
		}
		r.mu.Unlock()
		try, cancel := context.WithTimeout(ctx, requestTimeout)
		if kv, err := js.KeyValue(try, bucket); err == nil {
			_ = r.leave(try, kv) // again at the next tick
		}
		cancel()
	}
}
