package worker_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// A worker whose clock is off neither expires what is in time nor sends what is late:
// deadlines are by the clock of the NATS server.
func TestGuarantee_DeadlinesAreByTheServersClock(t *testing.T) {
	for _, off := range []time.Duration{0, 6 * time.Minute, -6 * time.Minute, 26 * time.Hour, -26 * time.Hour} {
		workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
			if _, err := (topology.Topology{}).Ensure(t.Context(), js); err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			publish := func(id string, lane contract.Lane, deadline time.Time) {
				msg, err := outbox.Message{ID: id, Source: "clinic-a", Lane: lane, Deadline: deadline, Body: []byte(`{}`)}.Encode("")
				if err == nil {
					_, err = js.PublishMsg(t.Context(), msg)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			publish("request", contract.LaneRequest, time.Time{})
			publish("in-time", contract.LaneSend, now.Add(time.Minute))
			publish("late", contract.LaneSend, now.Add(time.Second))
			publish("late-request", contract.LaneRequest, now.Add(time.Second))
			bubble.Sleep(5 * time.Second)

			far := &workertest.Far{Answer: func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
				if left := time.Until(m.Deadline); m.ID == "in-time" && (left < 50*time.Second || left > 56*time.Second) {
					t.Errorf("%s off: the deliverer is told that %s are left", off, left)
				}
				return outbox.Answer{Status: 200}, nil
			}}
			var mu sync.Mutex
			settled := map[string]outbox.Settlement{}
			w, err := worker.New(js, far, worker.Config{Sources: []worker.Source{{Name: "clinic-a"}}, Observe: func(e worker.Event) {
				mu.Lock()
				defer mu.Unlock()
				if e.Kind == worker.EventSettled {
					settled[e.MessageID] = e.Settlement
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			worker.SetClock(w, func() time.Time { return time.Now().Add(off) })
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- w.Run(ctx) }()
			bubble.Sleep(10 * time.Second)
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			for id, want := range map[string]outbox.Settlement{"request": outbox.Delivered, "in-time": outbox.Delivered, "late": outbox.Expired, "late-request": outbox.Expired} {
				if settled[id] != want || (len(far.Of(id)) > 0) != (want == outbox.Delivered) {
					t.Errorf("%s off: %s was settled %q after %d deliveries, want %s", off, id, settled[id], len(far.Of(id)), want)
				}
			}
		})
	}
}
