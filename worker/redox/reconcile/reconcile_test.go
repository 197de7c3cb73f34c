package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// redox answers lookups, and notes when they came.
type redox struct {
	mu     sync.Mutex
	status map[string]platform.Status // "" means no such log
	err    error
	looks  map[string][]time.Duration // since the start
	begun  time.Time
	total  int
}

func newRedox() *redox {
	return &redox{status: map[string]platform.Status{}, looks: map[string][]time.Duration{}, begun: time.Now()}
}

func (r *redox) look(_ context.Context, id string) (platform.Log, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	r.looks[id] = append(r.looks[id], time.Since(r.begun).Round(time.Second))
	switch s := r.status[id]; {
	case r.err != nil:
		return platform.Log{}, r.err
	case s == unreadable:
		return platform.Log{}, fmt.Errorf("platform: %w", platform.ErrUnreadable)
	case s == "":
		return platform.Log{}, fmt.Errorf("platform: %w", platform.ErrNoLog)
	default:
		return platform.Log{ID: id, Status: s, Attempts: 2}, nil
	}
}

// unreadable is the status of a log that Redox answers strangely about.
const unreadable platform.Status = "unreadable"

func (r *redox) set(id string, s platform.Status) { r.mu.Lock(); defer r.mu.Unlock(); r.status[id] = s }
func (r *redox) fail(err error)                   { r.mu.Lock(); defer r.mu.Unlock(); r.err = err }
func (r *redox) count() int                       { r.mu.Lock(); defer r.mu.Unlock(); return r.total }

func (r *redox) times(id string) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.looks[id])
}

// rig is a bubble with the streams in it.
type rig struct {
	t     *testing.T
	js    jetstream.JetStream
	redox *redox
}

const day = 24 * time.Hour

func inBubble(t *testing.T, f func(r rig)) {
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		if _, err := (topology.Topology{Reconcile: day}).Ensure(t.Context(), js); err != nil {
			t.Fatal(err)
		}
		f(rig{t, js, newRedox()})
	})
}

// start runs a reconciler until the returned function is called, which waits for its end.
func (r rig) start(c Config) (rec *Reconciler, stop func()) {
	r.t.Helper()
	rec, err := New(r.js, r.redox.look, c)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	var running sync.WaitGroup
	running.Go(func() { rec.Run(ctx) })
	return rec, sync.OnceFunc(func() { cancel(); running.Wait() })
}

func (r rig) stored(stream string) uint64 {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), stream)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func (r rig) events() (all []Event, subjects []string) {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), "REDOX_EVENTS")
	if err != nil {
		r.t.Fatal(err)
	}
	for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq && s.CachedInfo().State.Msgs > 0; seq++ {
		m, err := s.GetMsg(r.t.Context(), seq)
		if err != nil {
			r.t.Fatal(err)
		}
		var e Event
		if err := json.Unmarshal(m.Data, &e); err != nil {
			r.t.Fatal(err)
		}
		all, subjects = append(all, e), append(subjects, m.Subject)
	}
	return all, subjects
}

// counted is the value of a counter.
func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	alone := prometheus.NewRegistry()
	alone.MustRegister(c)
	families, err := alone.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func delivered(logs ...string) Delivered {
	return Delivered{Source: "clinic-a", Message: "m-1", Sequence: 7, LogIDs: logs}
}

func TestReconciler_EachEnd(t *testing.T) {
	inBubble(t, func(r rig) {
		registry := prometheus.NewRegistry()
		rec, stop := r.start(Config{Registerer: registry})
		defer stop()
		at := time.Now().UTC()
		for id, s := range map[string]platform.Status{"ok": platform.Succeeded, "bad": platform.Failed, "kept": platform.Filtered} {
			r.redox.set(id, s)
		}
		rec.Follow(delivered("ok", "bad"))
		rec.Follow(delivered("kept"))
		bubble.Sleep(50 * time.Second)
		if r.redox.count() != 0 || r.stored("REDOX_RECONCILE") != 3 {
			t.Errorf("%d lookups before the interval, %d logs stored", r.redox.count(), r.stored("REDOX_RECONCILE"))
		}
		bubble.Sleep(time.Minute)
		if r.redox.count() != 3 || r.stored("REDOX_RECONCILE") != 0 {
			t.Errorf("%d lookups, %d logs left", r.redox.count(), r.stored("REDOX_RECONCILE"))
		}
		events, subjects := r.events()
		if diff := cmp.Diff([]string{"redox.event.clinic-a.failed"}, subjects); diff != "" {
			t.Fatal(diff)
		}
		e := events[0]
		if age := e.At.Sub(at); age < time.Minute || age > 2*time.Minute {
			t.Errorf("published after %v", age)
		}
		e.At = time.Time{}
		want := Event{Event: "failed", Source: "clinic-a", Message: "m-1", Sequence: 7, Delivered: at, Log: platform.Log{ID: "bad", Status: platform.Failed, Attempts: 2}}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Error(diff)
		}
		for outcome, want := range map[string]float64{"succeeded": 1, "failed": 1, "filtered": 1, "unconfirmed": 0} {
			if got := counted(r.t, rec.metrics.outcomes.WithLabelValues(outcome)); got != want {
				t.Errorf("%s: %v", outcome, got)
			}
		}
		if got := counted(r.t, rec.metrics.followed); got != 3 {
			t.Errorf("followed %v", got)
		}
	})
}

func TestReconciler_LooksAtTwiceTheAgeUntilItGivesUp(t *testing.T) {
	inBubble(t, func(r rig) {
		rec, stop := r.start(Config{})
		defer stop()
		r.redox.set("slow", platform.Pending)
		rec.Follow(delivered("slow", "never-shown"))
		bubble.Sleep(day + time.Hour)
		for _, id := range []string{"slow", "never-shown"} {
			looks := r.redox.times(id)
			if len(looks) < 25 || len(looks) > 40 || looks[0] < time.Minute || looks[0] > 62*time.Second {
				t.Fatalf("%s: %d looks, at %v", id, len(looks), looks)
			}
			for i := 1; i < len(looks); i++ {
				apart, age := looks[i]-looks[i-1], looks[i-1]
				if apart > min(age, time.Hour)+3*time.Second || apart < min(age*8/10, 50*time.Minute) && looks[i] < day-time.Second {
					t.Errorf("%s: looked at %v after a look at %v", id, looks[i], looks[i-1])
				}
			}
			if last := looks[len(looks)-1]; last < day || last > day+5*time.Second {
				t.Errorf("%s: the last look at %v", id, last)
			}
		}
		events, subjects := r.events()
		if len(events) != 2 || subjects[0] != "redox.event.clinic-a.unconfirmed" || r.stored("REDOX_RECONCILE") != 0 {
			t.Fatalf("%v, %d logs left", subjects, r.stored("REDOX_RECONCILE"))
		}
		for _, e := range events {
			if want := map[string]platform.Status{"slow": platform.Pending, "never-shown": ""}; e.Log.Status != want[e.Log.ID] {
				t.Errorf("%+v", e)
			}
		}
	})
}

// Of more logs than can be looked up each has its event all the same.
func TestReconciler_MoreLogsThanLookups(t *testing.T) {
	inBubble(t, func(r rig) {
		rec, stop := r.start(Config{Pace: 10 * time.Minute})
		defer stop()
		ids := make([]string, 300)
		for i := range ids {
			ids[i] = fmt.Sprint("log", i)
			r.redox.set(ids[i], platform.Succeeded)
		}
		rec.Follow(delivered(ids...))
		bubble.Sleep(26 * time.Hour)
		events, _ := r.events()
		if n := r.redox.count(); n < 140 || len(events)+n != len(ids) || r.stored("REDOX_RECONCILE") != 0 {
			t.Errorf("%d lookups, %d events, %d logs left", n, len(events), r.stored("REDOX_RECONCILE"))
		}
	})
}

func TestReconciler_SurvivesARestart(t *testing.T) {
	inBubble(t, func(r rig) {
		rec, stop := r.start(Config{})
		rec.Follow(delivered("one"))
		rec.Follow(delivered("two"))
		stop() // at once: what was queued is stored all the same
		if n := r.stored("REDOX_RECONCILE"); n != 2 {
			t.Fatalf("%d logs stored", n)
		}
		r.redox.set("one", platform.Succeeded)
		r.redox.set("two", platform.Pending)
		_, stop = r.start(Config{})
		bubble.Sleep(90 * time.Second)
		stop()
		r.redox.set("two", platform.Failed)
		_, stop = r.start(Config{})
		defer stop()
		bubble.Sleep(10 * time.Minute)
		if events, _ := r.events(); len(events) != 1 || events[0].Log.ID != "two" || r.stored("REDOX_RECONCILE") != 0 {
			t.Errorf("%+v, %d logs left", events, r.stored("REDOX_RECONCILE"))
		}
	})
}

func TestReconciler_SeveralShareTheWork(t *testing.T) {
	inBubble(t, func(r rig) {
		var all []*Reconciler
		for range 3 {
			rec, stop := r.start(Config{Pace: 100 * time.Millisecond})
			defer stop()
			all = append(all, rec)
		}
		for i := range 60 {
			id := fmt.Sprintf("log-%d", i)
			r.redox.set(id, platform.Failed)
			all[i%3].Follow(delivered(id))
			all[(i+1)%3].Follow(delivered(id)) // settled twice, as after a crash
		}
		bubble.Sleep(10 * time.Minute)
		if events, _ := r.events(); len(events) != 60 || r.redox.count() != 60 {
			t.Errorf("%d events, %d lookups", len(events), r.redox.count())
		}
	})
}

func TestReconciler_KeepsItsPace(t *testing.T) {
	inBubble(t, func(r rig) {
		rec, stop := r.start(Config{})
		defer stop()
		for i := range 1000 {
			id := fmt.Sprintf("log-%d", i)
			r.redox.set(id, platform.Succeeded)
			rec.Follow(delivered(id))
		}
		bubble.Sleep(time.Minute + 5*time.Minute)
		if n := r.redox.count(); n < 340 || n > 376 { // 7,500 / 20 in five minutes
			t.Errorf("%d lookups in five minutes", n)
		}
		bubble.Sleep(20 * time.Minute)
		if n := r.redox.count(); n != 1000 || r.stored("REDOX_RECONCILE") != 0 {
			t.Errorf("%d lookups, %d logs left", n, r.stored("REDOX_RECONCILE"))
		}
	})
}

func TestReconciler_ADamagedEntryDoesNotBlock(t *testing.T) {
	inBubble(t, func(r rig) {
		for _, body := range []string{"", "{", "{}", `{"log":7}`} {
			if _, err := r.js.Publish(r.t.Context(), "redox.reconcile.clinic-a", []byte(body)); err != nil {
				r.t.Fatal(err)
			}
		}
		rec, stop := r.start(Config{})
		defer stop()
		r.redox.set("ok", platform.Succeeded)
		rec.Follow(delivered("ok"))
		bubble.Sleep(3 * time.Minute)
		if n := r.stored("REDOX_RECONCILE"); n != 0 || counted(r.t, rec.metrics.dropped) != 4 {
			t.Errorf("%d entries left, dropped %v", n, counted(r.t, rec.metrics.dropped))
		}
	})
}

func TestFollow_NeverBlocks(t *testing.T) {
	t.Parallel()
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	rec := &Reconciler{queue: make(chan Delivered, 2), metrics: m} // and nobody runs it
	for range 5 {
		rec.Follow(delivered("a", "b"))
	}
	if got := counted(t, m.dropped); got != 6 {
		t.Errorf("dropped %v", got)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if err := (Config{}).WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
	if _, err := New(nil, nil, Config{}); err == nil {
		t.Error("made of nothing")
	}
	err := Config{Prefix: "A B", Interval: -1, GiveUp: -2, Pace: -1}.Validate()
	if err == nil || len(err.(interface{ Unwrap() []error }).Unwrap()) != 4 {
		t.Error(err)
	}
}

// A log that seems to come from the future, as the clock of the worker that delivered its
// message was wrong or that of this host is, is followed all the same.
func TestReconciler_FollowsALogOfAWrongClock(t *testing.T) {
	inBubble(t, func(r rig) {
		r.redox.set("log-1", platform.Failed)
		rec, stop := r.start(Config{})
		defer stop()
		rec.Follow(Delivered{Source: "clinic-a", Message: "m-1", Sequence: 1, LogIDs: []string{"log-1"}, At: time.Now().Add(2 * day)})
		bubble.Sleep(3 * day)
		if _, subjects := r.events(); !slices.Equal(subjects, []string{"redox.event.clinic-a.failed"}) {
			r.t.Errorf("events %v", subjects)
		}
		if n := r.redox.count(); n != 1 {
			r.t.Errorf("%d looks", n)
		}
	})
}
