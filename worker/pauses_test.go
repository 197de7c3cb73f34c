package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// An operator's pause that has run out is over for log, metrics and workers that start
// later, although nobody has written that; and no metric is left of one that is over.
func TestPauses_ThatRunOut(t *testing.T) {
	inBubble(t, func(r *rig) {
		registry := prometheus.NewRegistry()
		r.start(worker.Config{Registerer: registry})
		p := worker.NewPauses(r.js, "", "test")
		r.must(p.Pause(r.Context(), source, 10*time.Second, ""))
		r.must(p.Pause(r.Context(), "clinic-b", 0, ""))
		bubble.Sleep(time.Second)
		if got := pausedIn(t, registry); len(got) != 2 || got[" operator source:clinic-a"] != 1 || got[" operator source:clinic-b"] != 1 {
			t.Errorf("paused: %v", got)
		}
		bubble.Sleep(10 * time.Second)
		if got := pausedIn(t, registry); len(got) != 1 || len(r.all(worker.EventResumed)) != 1 {
			t.Errorf("after one has run out: %v, %d resumed", got, len(r.all(worker.EventResumed)))
		}
		_, err := p.Resume(r.Context(), "clinic-b")
		r.must(err)
		r.must(p.Pause(r.Context(), source, 10*time.Second, ""))
		bubble.Sleep(time.Minute)
		paused := len(r.all(worker.EventPaused))
		r.start(worker.Config{ID: "later"})
		bubble.Sleep(time.Second)
		if n := len(r.all(worker.EventPaused)) - paused; n != 0 {
			t.Errorf("a worker that starts later is told of %d pauses that are over", n)
		}
		if got := pausedIn(t, registry); len(got) != 0 {
			t.Errorf("at the end: %v", got)
		}
	})
}

// pausedIn are the scopes that the metrics call paused.
func pausedIn(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	got := gauges(t, registry, "redoxworker_paused")
	maps.DeleteFunc(got, func(name string, on float64) bool { return on == 0 || strings.HasPrefix(name, "_") })
	return got
}

// However many sources operators pause, there is room for what workers tell each other.
func TestPauses_LeaveRoomForThoseOfWorkers(t *testing.T) {
	inBubble(t, func(r *rig) {
		scopes := map[string]any{}
		// As many as have room, and some: an entry has 82 bytes.
		n := int(r.js.Conn().MaxPayload())/4*3/82 + 20
		for i := range n {
			scopes[fmt.Sprintf("pause:%030d", i)] = map[string]any{"generation": 1, "left": -1, "operator": true}
		}
		data, err := json.Marshal(map[string]any{"last": 1, "scopes": scopes})
		r.must(err)
		_, err = r.bucket("REDOX_STATE").Put(r.Context(), "pauses", data)
		r.must(err)
		p := worker.NewPauses(r.js, "", "test")
		if err := p.Pause(r.Context(), source, 0, ""); err == nil || !strings.Contains(err.Error(), fmt.Sprint(n, " pauses")) {
			t.Errorf("one more pause in %d bytes: %v", len(data), err)
		}
		if found, err := p.Resume(r.Context(), fmt.Sprintf("%030d", 7)); !found || err != nil {
			t.Errorf("resuming one: %v, %v", found, err)
		}
		list, err := p.List(r.Context())
		if err != nil || len(list) != n-1 {
			t.Errorf("%d pauses, %v", len(list), err)
		}
		// What the error says: pause all at once, or resume some.
		r.must(p.Pause(r.Context(), "", 0, ""))
		for i := 0; p.Pause(r.Context(), source, 0, "") != nil; i++ {
			if _, err := p.Resume(r.Context(), fmt.Sprintf("%030d", 100+i)); err != nil || i == 100 {
				t.Fatalf("%d resumed: %v", i, err)
			}
		}
	})
}

// A worker that cannot tell the others what it has found does what an operator says all the same.
func TestPauses_AreFollowedByAWorkerThatCannotWrite(t *testing.T) {
	inBubble(t, func(r *rig) {
		full := func(first string) {
			scopes := map[string]any{first: map[string]any{"generation": 1, "left": -1, "operator": true}}
			for i := range int(r.js.Conn().MaxPayload())/82 - 2 {
				scopes[fmt.Sprintf("pause:%030d", i)] = scopes[first]
			}
			data, err := json.Marshal(map[string]any{"last": 1, "scopes": scopes})
			r.must(err)
			_, err = r.bucket("REDOX_STATE").Put(r.Context(), "pauses", data)
			r.must(err)
		}
		var ok atomic.Bool
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			if ok.Load() {
				return outbox.Answer{Status: 200}, nil
			}
			return outbox.Answer{}, worker.NotAttempted(errFar, "group:all")
		}
		full("pause:other")
		r.start(worker.Config{Sources: []worker.Source{{Name: source, Scopes: []string{"group:all"}}}})
		first := r.publish(outbox.Message{})
		r.until("the group is paused", func() bool { return len(r.all(worker.EventPaused)) > 0 })
		bubble.Sleep(5 * time.Second) // nobody can be told
		full("pause:" + source)
		bubble.Sleep(5 * time.Second)
		ok.Store(true)
		asked := len(r.far.Calls())
		bubble.Sleep(time.Minute)
		if n := len(r.far.Calls()); n > asked {
			t.Errorf("%d attempts although an operator has paused the source", n-asked)
		}
		full("pause:other")
		r.awaitSettled(first)
	})
}

// A message that is settled without being sent proves nothing about what it depends on. Its
// settlement, however long it takes, keeps no other from proving it.
func TestPause_AnUnsentProbeIsHandedOnBeforeItsSettlement(t *testing.T) {
	inBubble(t, func(r *rig) {
		dlq, err := r.js.Stream(r.Context(), "REDOX_DLQ")
		if err != nil {
			t.Fatal(err)
		}
		full := dlq.CachedInfo().Config
		full.MaxBytes = 1
		if _, err := r.js.UpdateStream(r.Context(), full); err != nil {
			t.Fatal(err)
		}
		r.far.Answer = func(_ context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			if n == 1 {
				return outbox.Answer{}, worker.NotAttempted(errFar, "key:main")
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Retry: worker.Retry{Initial: 10 * time.Second}, Sources: []worker.Source{
			{Name: source, Scopes: []string{"key:main"}}, {Name: "clinic-b", Scopes: []string{"key:main"}}}})
		id := r.publish(outbox.Message{})
		r.until("the key is paused", func() bool { return len(r.all(worker.EventPaused)) == 1 })
		r.publish(outbox.Message{Source: "clinic-b", ReplyTo: "other.subject"}) // poison
		bubble.Sleep(time.Minute)
		if e, ok := r.settled(id); !ok || e.Settlement != outbox.Delivered {
			t.Errorf("settled %q: the key stays paused", e.Settlement)
		}
		full.MaxBytes = -1
		if _, err := r.js.UpdateStream(r.Context(), full); err != nil {
			t.Fatal(err)
		}
		r.until("both settled", func() bool { return len(r.all(worker.EventSettled)) == 2 })
	})
}
