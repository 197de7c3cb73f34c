package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
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
		top := topology.Topology{}
		if _, err := top.Ensure(t.Context(), r.js); err != nil {
			t.Fatal(err)
		}
		w, _ := r.launch(worker.Config{})
		defer r.stop()
		other.publish(outbox.Message{ID: "first"})
		r.awaitSettled("first")
		c.plug(false)
		if err := other.js.DeleteConsumer(t.Context(), "REDOX_OUT", source+"-send"); err != nil {
			t.Fatal(err)
		}
		c.plug(true)
		other.publish(outbox.Message{ID: "m"})
		r.awaitSettled("m")
		bubble.Sleep(time.Minute)
		if s := w.Status(); !s.Ready() {
			t.Errorf("not ready: %+v", s)
		}
	})
}

// A deliverer that ends its goroutine ends no puller: what comes later is delivered.
func TestGuarantee_GoexitEndsNoPuller(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			if m.ID == "m1" && n == 1 {
				runtime.Goexit()
			}
			return outbox.Answer{Status: 200}, nil
		}
		stop := r.start(worker.Config{})
		r.ordered("m1", "patient")
		r.ordered("m2", "patient")
		r.until("m2 delivered", func() bool { _, ok := r.settled("m2"); return ok })
		if e := r.awaitSettled("m1"); !e.PossibleDuplicate {
			t.Error("m1 was sent twice without saying so")
		}
		stop()
	})
}

// That the server removed the consumer of a source that had nothing to send is no trouble.
func TestPuller_AConsumerThatNobodyUsedIsMadeAnew(t *testing.T) {
	inBubble(t, func(r *rig) {
		log := new(logged)
		r.start(worker.Config{Logger: slog.New(slog.NewTextHandler(log, nil))})
		r.awaitSettled(r.publish(outbox.Message{}))
		bubble.Sleep(2 * time.Hour)
		if _, err := r.js.Consumer(r.Context(), "REDOX_OUT", source+"-send"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
			t.Fatalf("the consumer is still there: %v", err)
		}
		r.awaitSettled(r.publish(outbox.Message{}))
		if strings.Contains(log.String(), "level=WARN") {
			t.Errorf("the log: %s", log)
		}
	})
}
