package worker_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// A list of sources that is empty, or was never made, is not a wish for those of others.
func TestRun_NoSourcesMeansNone(t *testing.T) {
	for name, sources := range map[string][]worker.Source{"empty": {}, "nil": nil} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				id := r.publish(outbox.Message{})
				log := new(logged)
				c := worker.Config{Sources: sources, Logger: slog.New(slog.NewTextHandler(log, nil))}
				w, err := worker.New(r.js, r.far, c)
				if err != nil {
					t.Fatal(err)
				}
				if w.Status().Ready() {
					t.Error("ready before Run")
				}
				stop := r.serve(w)
				bubble.Sleep(time.Hour)
				synctest.Wait()
				if n := len(r.far.Of(id)); n != 0 || r.stored("REDOX_OUT") != 1 {
					t.Errorf("a source that nobody named was served: %d calls", n)
				}
				if s := w.Status(); !s.Ready() || s.Consumers != 0 {
					t.Errorf("not ready: %+v", s)
				}
				if !strings.Contains(log.String(), "no source is served") {
					t.Errorf("the log: %s", log)
				}
				stop()
			})
		})
	}
}

// All sources are asked for by name.
func TestRun_AllSources(t *testing.T) {
	inBubble(t, func(r *rig) {
		ids := []string{r.publish(outbox.Message{Source: "clinic-a"}), r.publish(outbox.Message{Source: "clinic-b"})}
		w, _ := r.launch(worker.Config{AllSources: true})
		for _, id := range ids {
			r.awaitSettled(id)
		}
		if s := w.Status(); s.Sources != 2 {
			t.Errorf("%+v", s)
		}
	})
	c := worker.Config{AllSources: true, Sources: []worker.Source{{Name: "a"}}}.WithDefaults()
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "AllSources") {
		t.Errorf("all sources and one by name: %v", err)
	}
	if err := (worker.Config{AllSources: true, Sources: []worker.Source{}}).WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
}
