package order_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

const source = "clinic-a"

// rig is a provisioned JetStream in fake time, a scripted far side, and a worker once started.
type rig struct {
	*testing.T
	js  jetstream.JetStream
	far workertest.Far

	mu      sync.Mutex
	settled map[string]worker.Event
	stop    func()
}

func inBubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		r := &rig{T: t, js: js, settled: map[string]worker.Event{}, stop: func() {}}
		_, err := topology.Topology{}.Ensure(t.Context(), js)
		r.must(err)
		defer func() { r.stop() }()
		f(r)
	})
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// start runs a worker until the end of the bubble.
func (r *rig) start() {
	r.Helper()
	w, err := worker.New(r.js, &r.far, worker.Config{
		Sources: []worker.Source{{Name: source, Scopes: []string{"key:main", "host:far"}}},
		Observe: func(e worker.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if e.Kind == worker.EventSettled {
				r.settled[e.MessageID] = e
			}
		},
	})
	r.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	r.stop = func() {
		cancel()
		r.must(<-done)
	}
}

// ordered publishes a message of an order key.
func (r *rig) ordered(id, key string) {
	r.Helper()
	token, err := outbox.OrderToken([]byte("0123456789abcdef0123456789abcdef"), key)
	r.must(err)
	msg, err := outbox.Message{ID: id, Source: source, OrderToken: token, Body: []byte(`{}`)}.Encode("")
	r.must(err)
	_, err = r.js.PublishMsg(r.Context(), msg)
	r.must(err)
}

// until waits, in fake time, for a condition.
func (r *rig) until(what string, cond func() bool) {
	r.Helper()
	for range 100_000 {
		synctest.Wait()
		if cond() {
			return
		}
		bubble.Sleep(100 * time.Millisecond)
	}
	r.Fatalf("never happened: %s", what)
}

func (r *rig) awaitSettled(id string) (e worker.Event) {
	r.Helper()
	r.until(id+" settled", func() (ok bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		e, ok = r.settled[id]
		return ok
	})
	return e
}
