package workertest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func order(id string) outbox.Message {
	return outbox.Message{ID: id, Source: "clinic-a", Lane: contract.LaneSend, Body: []byte(`{"Meta":{"DataModel":"Order","EventType":"New","Destinations":[{"ID":"hospital"}]}}`)}
}

func withID(id string) func(outbox.Message) bool {
	return func(m outbox.Message) bool { return m.ID == id }
}

// A message goes all the way, over real HTTP with a real token, in real time and in fake time.
func TestRig_Delivers(t *testing.T) {
	deliver := func(t *testing.T, r *workertest.Rig) {
		reply, err := r.Publisher.Request(t.Context(), order("m-1"))
		if err != nil {
			t.Fatal(err)
		}
		if reply.Settlement != outbox.Delivered || r.Settled("clinic-a", "m-1").Status != http.StatusOK {
			t.Fatalf("settled %s with status %d: %s", reply.Settlement, reply.Status, reply.Error)
		}
		arrivals := r.Redox.Arrivals()
		if last := arrivals[len(arrivals)-1]; !last.Accepted || last.Source != workertest.SourceID {
			t.Errorf("arrived: %+v", last)
		}
		r.Published(withID("m-1"))
		r.NotPublished(withID("m-2"))
	}
	t.Run("real time", func(t *testing.T) { deliver(t, workertest.Start(t, workertest.Options{})) })
	t.Run("fake time", func(t *testing.T) { workertest.StartInBubble(t, workertest.Options{}, deliver) })
}

// Hours of retries are a moment in a bubble.
func TestRig_RetriesInFakeTime(t *testing.T) {
	fault, err := redoxsim.ParseFault("503")
	if err != nil {
		t.Fatal(err)
	}
	options := workertest.Options{Worker: func(c *worker.Config) { c.Retry.Initial, c.Retry.Max = 10*time.Minute, time.Hour }}
	workertest.StartInBubble(t, options, func(t *testing.T, r *workertest.Rig) {
		r.Redox.SetRules(redoxsim.Rule{Attempts: 4, Fault: fault})
		began := time.Now()
		if _, err := r.Publisher.Publish(t.Context(), order("m-1")); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(12 * time.Hour)
		if e := r.Settled("clinic-a", "m-1"); e.Settlement != outbox.Delivered {
			t.Errorf("settled %s", e.Settlement)
		}
		var tries []time.Duration
		for _, a := range r.Redox.Arrivals() {
			if a.Path == redoxsim.PathEndpoint {
				tries = append(tries, a.Start.Sub(began).Round(time.Second))
			}
		}
		if len(tries) != 5 || tries[4] < time.Minute {
			t.Errorf("tried after %v", tries)
		}
	})
}

// Without a worker what was published stays, with its order token and a body of any size.
func TestRig_WithoutAWorker(t *testing.T) {
	r := workertest.Start(t, workertest.Options{NoWorker: true, Sources: []string{"clinic-a", "clinic-b"}})
	for i, body := range []string{`{}`, `{"a":"` + strings.Repeat("x", 2<<20) + `"}`} {
		m := outbox.Message{ID: fmt.Sprint("m-", i), Source: "clinic-b", Lane: contract.LaneSend, OrderKey: "patient-7", Body: []byte(body)}
		if _, err := r.Publisher.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if m := r.Published(withID("m-0")); m.OrderToken == "" || string(m.Body) != `{}` {
		t.Errorf("published %v", m)
	}
	if m := r.Published(withID("m-1")); m.BodyObject == "" {
		t.Errorf("published %v", m)
	}
}

// Each source has a Source ID of its own, which Redox knows.
func TestRig_ManySources(t *testing.T) {
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("clinic-%03d", i))
	}
	r := workertest.Start(t, workertest.Options{Sources: names})
	for _, name := range []string{names[0], names[15], names[16], names[299]} {
		m := order("m-1")
		m.Source = name
		if reply, err := r.Publisher.Request(t.Context(), m); err != nil || reply.Settlement != outbox.Delivered {
			t.Errorf("%s: %v %v", name, reply, err)
		}
	}
	ids := map[string]bool{}
	for _, a := range r.Redox.Arrivals() {
		if a.Source != "" {
			ids[a.Source] = true
		}
	}
	if len(ids) != 4 {
		t.Errorf("%d Source IDs, want 4", len(ids))
	}
}
