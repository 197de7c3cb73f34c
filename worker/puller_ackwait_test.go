package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// A release with a shorter ack wait takes no message from a worker that still runs with the
// longer one, and whose marks come too seldom for the shorter.
func TestGuarantee_AShorterAckWaitWaitsForTheWorkers(t *testing.T) {
	inBubble(t, func(r *rig) {
		top := topology.Topology{}
		if _, err := top.Ensure(r.Context(), r.js); err != nil {
			t.Fatal(err)
		}
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(2 * time.Minute)
			return outbox.Answer{Status: 200}, nil
		}
		stop := r.start(worker.Config{ID: "old", AckWait: 10 * time.Minute})
		r.ordered("m1", "patient")
		r.ordered("m2", "patient")
		r.until("m1 in flight", func() bool { return len(r.far.Calls()) == 1 })
		r.start(worker.Config{ID: "new", AckWait: 30 * time.Second})
		r.until("both sent", func() bool { return len(r.far.Of("m2")) == 1 && !r.far.Of("m2")[0].End.IsZero() })
		inTurn(t, r.far.Calls())
		if n := len(r.far.Of("m1")); n != 1 {
			t.Errorf("m1 was sent %d times", n)
		}
		stop()
	})
}

// A consumer with a shorter ack wait than the worker's is not pulled from: the server would
// have others send what this worker is still sending.
func TestGuarantee_AConsumerWithAShorterAckWaitWaits(t *testing.T) {
	inBubble(t, func(r *rig) {
		ensure := func(wait time.Duration) {
			_, err := r.js.CreateOrUpdateConsumer(r.Context(), "REDOX_OUT", jetstream.ConsumerConfig{
				Durable: contract.Prefix("").SendConsumer(source), FilterSubjects: []string{"redox.out." + source + ".send", "redox.out." + source + ".send.>"}, AckPolicy: jetstream.AckExplicitPolicy, AckWait: wait, MaxDeliver: -1})
			if err != nil {
				t.Fatal(err)
			}
		}
		ensure(10 * time.Second)
		w, stop := r.launch(worker.Config{AckWait: 10 * time.Minute})
		id := r.publish(outbox.Message{})
		bubble.Sleep(time.Minute)
		if s := w.Status(); len(r.far.Calls()) > 0 || s.Consumers != 1 || s.Bound != 0 || !s.Ready() {
			t.Error("the worker pulls from a consumer whose ack wait is too short")
		}
		ensure(10 * time.Minute)
		r.awaitSettled(id)
		stop()
	})
}
