package reconcile

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// What cannot be followed is counted by kind, and said once for a source and kind, whatever the
// number of messages, workers and restarts. Its neighbours are followed as ever.
func TestReconciler_SaysWhatItCannotFollow(t *testing.T) {
	inBubble(t, func(r rig) {
		var log bytes.Buffer
		one, stopOne := r.start(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		two, stopTwo := r.start(Config{})
		r.redox.set("log-1", platform.Failed)
		at := time.Now().UTC()
		for i := range 1000 {
			for _, rec := range []*Reconciler{one, two} {
				rec.Follow(Delivered{Source: "clinic-a", Kind: outbox.KindFHIR, Message: "f-1", Sequence: uint64(i + 1), At: at})
			}
		}
		for _, kind := range []outbox.Kind{"", outbox.KindFile, outbox.KindPlatform} {
			one.Follow(Delivered{Source: "clinic-a", Kind: kind, Message: "m-1", Sequence: 5000, At: at})
		}
		one.Follow(Delivered{Source: "clinic-b", Kind: outbox.KindFHIR, Message: "f-2", Sequence: 5001, At: at})
		one.Follow(Delivered{Source: "clinic-b", Message: "m-2", Sequence: 5002, LogIDs: []string{"log-1"}, At: at})
		bubble.Sleep(3 * time.Minute)
		stopOne()
		stopTwo()
		again, stop := r.start(Config{})
		defer stop()
		again.Follow(Delivered{Source: "clinic-a", Kind: outbox.KindFHIR, Message: "f-3", Sequence: 5003})
		bubble.Sleep(5 * time.Minute)

		events, subjects := r.events()
		slices.Sort(subjects)
		want := []string{
			"redox.event.clinic-a.unfollowed-data-model", "redox.event.clinic-a.unfollowed-fhir", "redox.event.clinic-a.unfollowed-file",
			"redox.event.clinic-a.unfollowed-platform", "redox.event.clinic-b.failed", "redox.event.clinic-b.unfollowed-fhir",
		}
		if diff := cmp.Diff(want, subjects); diff != "" {
			t.Error(diff)
		}
		for _, e := range events {
			if e.Event == Unfollowed && (e.Kind == "" || e.Message == "" || e.Log != platform.Log{} || !e.Delivered.Equal(at)) {
				t.Errorf("%+v", e)
			}
		}
		for kind, want := range map[outbox.Kind]float64{outbox.KindFHIR: 1001, outbox.KindDataModel: 1, outbox.KindFile: 1, outbox.KindPlatform: 1} {
			if got := counted(t, one.metrics.unfollowed[kind]); got != want {
				t.Errorf("%s: %v", kind, got)
			}
		}
		if followed, dropped := counted(t, one.metrics.followed), counted(t, one.metrics.dropped); followed != 1 || dropped != 0 {
			t.Errorf("followed %v, dropped %v", followed, dropped)
		}
		if lines := strings.Count(log.String(), "is not followed"); lines != 5 {
			t.Errorf("%d lines: %s", lines, log.String())
		}
		if n := r.stored("REDOX_RECONCILE"); n != 0 {
			t.Errorf("%d logs left", n)
		}
	})
}

// While NATS is behind, a message that cannot be followed is counted, and the next one says so.
func TestFollow_SaysItLaterWhileItIsBehind(t *testing.T) {
	t.Parallel()
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	rec := &Reconciler{queue: make(chan Delivered, 1), metrics: m, log: slog.New(slog.DiscardHandler)}
	rec.Follow(delivered("a")) // and nobody runs it
	fhir := Delivered{Source: "clinic-a", Kind: outbox.KindFHIR, Message: "f-1"}
	for range 3 {
		rec.Follow(fhir)
	}
	<-rec.queue
	for range 3 {
		rec.Follow(fhir)
	}
	if d := <-rec.queue; d.Kind != outbox.KindFHIR || len(rec.queue) != 0 {
		t.Errorf("%+v, %d behind it", d, len(rec.queue))
	}
	if got := counted(t, m.unfollowed[outbox.KindFHIR]); got != 6 {
		t.Error(got)
	}
}
