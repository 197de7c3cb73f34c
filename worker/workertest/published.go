package workertest

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
)

// patience is how long a Rig waits for what a test asks for.
const patience = 30 * time.Second

// Published returns the first message of the application that match accepts, whether it waits
// in the queue or the worker has begun to send it. It waits for one, and fails the test after
// 30 s. Its body is not there while it is a claim check in the queue.
func (r *Rig) Published(match func(outbox.Message) bool) (m outbox.Message) {
	r.t.Helper()
	r.await("no message that matches was published", func() bool {
		for _, m = range r.published() {
			if match(m) {
				return true
			}
		}
		return false
	})
	return m
}

// NotPublished fails the test if there is such a message already.
func (r *Rig) NotPublished(match func(outbox.Message) bool) {
	r.t.Helper()
	for _, m := range r.published() {
		if match(m) {
			r.t.Errorf("message %s of source %s was published", m.ID, m.Source)
		}
	}
}

// Settled returns the event of the settlement of a message. It waits for it, and fails the
// test after 30 s.
func (r *Rig) Settled(source, id string) (e worker.Event) {
	r.t.Helper()
	r.await("message "+id+" of source "+source+" was not settled", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, e = range r.events {
			if e.Kind == worker.EventSettled && e.Source == source && e.MessageID == id {
				return true
			}
		}
		return false
	})
	return e
}

// published are the messages that the worker has begun, and those in the queue.
func (r *Rig) published() []outbox.Message {
	r.t.Helper()
	waiting := r.queued() // first: what leaves the queue meanwhile was begun
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(append([]outbox.Message(nil), r.sent...), waiting...)
}

// queued are the messages in the queue, in its order.
func (r *Rig) queued() (all []outbox.Message) {
	r.t.Helper()
	ctx := r.t.Context()
	queue, err := r.JS.Stream(ctx, contract.Prefix("").OutStream())
	if err != nil {
		r.t.Fatal(err)
	}
	for next := uint64(1); ; {
		raw, err := queue.GetMsg(ctx, next, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		next = raw.Sequence + 1
		m, err := outbox.Decode("", outbox.Stored{Subject: raw.Subject, Header: raw.Header, Body: raw.Data, Sequence: raw.Sequence, Time: raw.Time})
		if err != nil {
			r.t.Errorf("message %d in the queue breaks the contract: %v", raw.Sequence, err)
			continue
		}
		all = append(all, m)
	}
}

// await looks at each change, and each tenth of a second, until there is what is waited for.
func (r *Rig) await(otherwise string, there func() bool) {
	r.t.Helper()
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if there() {
			return
		}
		again := time.NewTimer(patience / 300)
		select {
		case <-changed:
		case <-again.C:
		case <-over.C:
			r.t.Fatalf("%s within %v", otherwise, patience)
		}
		again.Stop()
	}
}
