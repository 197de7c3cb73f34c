package worker_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/overview"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// gauges are the values of a registry whose names begin so, by name and labels.
func gauges(t *testing.T, r *prometheus.Registry, prefix string) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		short, ok := strings.CutPrefix(f.GetName(), prefix)
		if !ok {
			continue
		}
		for _, m := range f.GetMetric() {
			name := short
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			values[name] = m.GetGauge().GetValue()
		}
	}
	return values
}

// What waits is counted of all sources, also of those that this worker does not serve: workers that
// share the queue say the same of it. Nothing is told while NATS is away.
func TestBacklog(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(ctx context.Context, _ outbox.Message, _ int) (outbox.Answer, error) {
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
			}
			return outbox.Answer{Status: 200}, nil
		}
		for i := range 5 {
			r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
		}
		r.ordered("o1", "patient")
		r.ordered("o2", "patient")
		r.publish(outbox.Message{ID: "other", Source: "clinic-c"})
		if _, err := r.js.Publish(r.Context(), "redox.out.clinic-a.sent", nil); err != nil {
			r.Fatal(err)
		}
		bubble.Sleep(10 * time.Second)
		registry := prometheus.NewRegistry()
		r.start(worker.Config{Registerer: registry, Concurrency: 2, Sources: []worker.Source{{Name: source}, {Name: "clinic-b"}}})

		want := map[string]float64{
			"messages send clinic-a": 5, "messages ordered clinic-a": 2, "messages send clinic-c": 1,
			"messages send (other)": 0, "messages ordered (other)": 0, "messages request (other)": 0,
			"unserved_messages": 1, "astray_messages": 1,
		}
		bubble.Sleep(5 * time.Second)
		got := gauges(r.T, registry, "redoxworker_queue_")
		if oldest := got["oldest_seconds"]; oldest < 9 || oldest > 16 {
			r.Errorf("the oldest has %v seconds", oldest)
		}
		delete(got, "oldest_seconds")
		if diff := cmp.Diff(want, got); diff != "" {
			r.Errorf("at the start: %s", diff)
		}
		if waits := gauges(r.T, registry, "redoxworker_source_oldest_seconds")[" clinic-a"]; waits < 9 || waits > 16 {
			r.Errorf("the oldest of the source has %v seconds", waits)
		}
		bubble.Sleep(time.Hour)
		got = gauges(r.T, registry, "redoxworker_queue_")
		for name := range maps.Keys(want) {
			if strings.HasSuffix(name, "clinic-a") && got[name] != 0 {
				r.Errorf("in the end: %s is %v", name, got[name])
			}
		}
		if got["oldest_seconds"] < 3000 { // that of a source which nobody serves
			r.Errorf("in the end the oldest has %v seconds", got["oldest_seconds"])
		}
		if err := r.js.DeleteStream(r.Context(), "REDOX_OUT"); err != nil {
			r.Fatal(err)
		}
		bubble.Sleep(time.Minute)
		if got := gauges(r.T, registry, "redoxworker_queue_"); len(got) > 0 {
			r.Errorf("without a queue: %v", got)
		}
	})
}

// Workers of different sources say the same of the queue, which is what the overview says: all of it,
// also what nobody serves.
func TestBacklog_IsTheFleets(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(ctx context.Context, _ outbox.Message, _ int) (outbox.Answer, error) {
			<-ctx.Done()
			return outbox.Answer{}, ctx.Err()
		}
		for i := range 30 {
			of := fmt.Sprintf("clinic-%c", 'a'+i%3)
			r.publish(outbox.Message{ID: fmt.Sprint("m", i), Source: of, Lane: []contract.Lane{contract.LaneSend, contract.LaneRequest}[i/3%2]})
		}
		r.ordered("o1", "patient")
		bubble.Sleep(time.Minute)
		one, two := prometheus.NewRegistry(), prometheus.NewRegistry()
		r.start(worker.Config{ID: "one", Registerer: one, Sources: []worker.Source{{Name: source}}})
		r.start(worker.Config{ID: "two", Registerer: two, Sources: []worker.Source{{Name: "clinic-b"}}})
		bubble.Sleep(5 * time.Second)
		g, err := overview.New(r.js, overview.Config{})
		r.must(err)
		seen := make(map[string]float64)
		for _, b := range g.Gather(r.Context()).Backlogs {
			seen[" "+string(b.Lane)+" "+b.Source] += float64(b.Messages)
		}
		if len(seen) != 6 {
			t.Errorf("the overview has %v", seen)
		}
		for id, registry := range map[string]*prometheus.Registry{"one": one, "two": two} {
			shown := make(map[string]float64)
			for name, n := range gauges(t, registry, "redoxworker_queue_messages") {
				if n > 0 {
					shown[strings.Replace(name, "ordered", "send", 1)] += n
				}
			}
			if diff := cmp.Diff(seen, shown); diff != "" {
				t.Errorf("worker %s: %s", id, diff)
			}
			want := map[string]float64{"one": 20, "two": 21}[id]
			if got := gauges(t, registry, "redoxworker_queue_unserved_messages")[""]; got != want {
				t.Errorf("worker %s does not serve %v messages, want %v", id, got, want)
			}
			if oldest := gauges(t, registry, "redoxworker_source_oldest_seconds"); len(oldest) != 3 || oldest[" clinic-c"] < 60 {
				t.Errorf("worker %s: %v", id, oldest)
			}
		}
	})
}
