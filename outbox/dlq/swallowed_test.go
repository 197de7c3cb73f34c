package dlq_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/workertest"
)

// swallowing loses one request to a bucket: the nth that is made.
type swallowing struct {
	jetstream.JetStream
	left *atomic.Int64
}

func (s swallowing) KeyValue(ctx context.Context, bucket string) (jetstream.KeyValue, error) {
	kv, err := s.JetStream.KeyValue(ctx, bucket)
	return swallowingBucket{kv, s.left}, err
}

type swallowingBucket struct {
	jetstream.KeyValue
	left *atomic.Int64
}

// swallows waits as the client does: for its own timeout only where ctx has no deadline.
func (s swallowingBucket) swallows(ctx context.Context) error {
	if s.left.Add(-1) != 0 {
		return nil
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s swallowingBucket) Create(ctx context.Context, key string, value []byte, o ...jetstream.KVCreateOpt) (uint64, error) {
	if err := s.swallows(ctx); err != nil {
		return 0, err
	}
	return s.KeyValue.Create(ctx, key, value, o...)
}

func (s swallowingBucket) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	if err := s.swallows(ctx); err != nil {
		return nil, err
	}
	return s.KeyValue.Get(ctx, key)
}

func (s swallowingBucket) Purge(ctx context.Context, key string, o ...jetstream.KVDeleteOpt) error {
	if err := s.swallows(ctx); err != nil {
		return err
	}
	return s.KeyValue.Purge(ctx, key, o...)
}

// A server that starts swallows requests. A replay asks again instead of waiting for as long
// as it may take altogether, and so does a look at how one was settled.
func TestReplay_ASwallowedRequest(t *testing.T) {
	for nth := range int64(4) {
		workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
			ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
			defer cancel()
			if _, err := (topology.Topology{}).Ensure(ctx, js); err != nil {
				t.Fatal(err)
			}
			dead := dlq.Letter{
				MessageID: "m-1", Source: "clinic-a", Settlement: outbox.Rejected, At: time.Now(),
				Subject: "redox.out.clinic-a.send", Sequence: 1, Body: []byte(`{}`),
			}
			if _, err := js.PublishMsg(ctx, dead.Encode("")); err != nil {
				t.Fatal(err)
			}
			left := new(atomic.Int64)
			left.Store(nth + 1)
			d, err := dlq.New(swallowing{js, left}, dlq.Config{})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			all, err := d.Select(ctx, dlq.Query{})
			if err != nil {
				t.Fatal(err)
			}
			for h, err := range d.Replay(ctx, all, dlq.ReplayOptions{}) {
				if err != nil || h.Outcome != dlq.Replayed && h.Outcome != dlq.AlreadyReplayed {
					t.Fatalf("%+v, %v", h, err)
				}
				if s, ok, err := d.Settled(ctx, h); err != nil || ok {
					t.Errorf("%s %v, %v", s, ok, err)
				}
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("request %d: it took %v", nth+1, took)
			}
		})
	}
}

// A held token is not waited for until the deadline of the caller either.
func TestHeldTokens_ASwallowedRequest(t *testing.T) {
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		if _, err := (topology.Topology{}).Ensure(ctx, js); err != nil {
			t.Fatal(err)
		}
		left := new(atomic.Int64)
		left.Store(1)
		held := dlq.NewHeldTokens(swallowing{js, left}, "")
		began := time.Now()
		at := dlq.OrderPlace{Source: "clinic-a", Token: "t", Position: 1, Sequence: 1}
		if _, err := held.Hold(ctx, at); err == nil || time.Since(began) > 20*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if _, err := held.Hold(ctx, at); err != nil {
			t.Error(err)
		}
	})
}
