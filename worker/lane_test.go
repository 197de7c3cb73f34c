package worker_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
)

// A consumer that nobody answers for, as while it elects its leader, is bound again when it
// is back: the worker is ready.
func TestRun_ReadyAgainWhenAConsumerIsBack(t *testing.T) {
	workertest.Bubble(t, func(t *testing.T, _ jetstream.JetStream) {
		c := &cable{crashing: &crashing{T: t}}
		c.start(t.TempDir())
		defer c.stop()
		r, other := &rig{T: t, js: c.connectBy(c), far: &workertest.Far{}}, &rig{T: t, js: c.connect()}
		defer other.js.Conn().Close()
		defer r.js.Conn().Close()
		top := outbox.Topology{Sources: []string{source}, Partitions: 4}
		if _, err := top.Ensure(t.Context(), r.js); err != nil {
			t.Fatal(err)
		}
		w, _ := r.launch(worker.Config{})
		defer r.stop()
		r.until("ready", func() bool { return w.Status().Ready() })
		c.plug(false)
		if err := other.js.DeleteConsumer(t.Context(), "REDOX_OUT", source+"-send"); err != nil {
			t.Fatal(err)
		}
		c.plug(true)
		time.Sleep(time.Minute)
		if w.Status().Ready() {
			t.Error("ready without a consumer")
		}
		if _, err := top.Ensure(t.Context(), other.js); err != nil {
			t.Fatal(err)
		}
		other.publish(outbox.Message{ID: "m"})
		r.awaitSettled("m")
		time.Sleep(time.Minute)
		if s := w.Status(); !s.Ready() {
			t.Errorf("not ready: %+v", s)
		}
	})
}
