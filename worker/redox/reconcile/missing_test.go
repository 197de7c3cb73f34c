package reconcile

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func TestReconciler_WaitsForTheStream(t *testing.T) {
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		r := rig{t, js, newRedox()}
		rec, stop := r.start(Config{})
		defer stop()
		r.redox.set("ok", platform.Failed)
		rec.Follow(delivered("ok"))
		bubble.Sleep(5 * time.Minute)
		if _, err := (topology.Topology{Reconcile: day}).Ensure(t.Context(), js); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(5 * time.Minute)
		if events, _ := r.events(); len(events) != 1 {
			t.Errorf("%d events", len(events))
		}
	})
}

// The consumer is the reconcilers' own: they make it, as often as it is removed, and agree on it.
func TestReconciler_MakesItsConsumer(t *testing.T) {
	inBubble(t, func(r rig) {
		rec, stop := r.start(Config{})
		defer stop()
		_, stopOther := r.start(Config{})
		defer stopOther()
		for i, id := range []string{"first", "second"} {
			r.redox.set(id, platform.Failed)
			rec.Follow(delivered(id))
			bubble.Sleep(10 * time.Minute)
			if events, _ := r.events(); len(events) != i+1 {
				r.t.Fatalf("%d events after %s", len(events), id)
			}
			if err := r.js.DeleteConsumer(r.t.Context(), "REDOX_RECONCILE", contract.Prefix("").ReconcileConsumer()); err != nil {
				r.t.Fatal(err)
			}
		}
	})
}
