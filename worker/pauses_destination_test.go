package worker_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// toClinics are sources whose messages of kind FHIR go to the first part of their path.
func toClinics(names ...string) (sources []worker.Source) {
	for _, name := range names {
		sources = append(sources, worker.Source{Name: name, MessageScopes: func(m outbox.Message) []string {
			if to, _, fhir := strings.Cut(m.Path, "/"); fhir {
				return []string{"dest:" + m.Source + ":" + to}
			}
			return nil
		}})
	}
	return sources
}

// toClinic publishes a message to a destination.
func (r *rig) toClinic(id, of, clinic string) {
	r.Helper()
	r.publish(outbox.Message{ID: id, Source: of, Kind: outbox.KindFHIR, Path: clinic + "/Production/Patient"})
}

// A destination that an operator pauses gets nothing from any worker a second later, for as long as was
// asked or until it is resumed. All other messages go on, also those of the source and of the same
// destination of another. What was held back cost few deliveries, counts no attempt, is no duplicate,
// and goes half a minute after the end.
func TestPauses_OfADestinationAlone(t *testing.T) {
	inBubble(t, func(r *rig) {
		registry := prometheus.NewRegistry()
		w, _ := r.launch(worker.Config{ID: "one", Sources: toClinics(source, "clinic-b"), Registerer: registry})
		r.start(worker.Config{ID: "two", Sources: toClinics(source, "clinic-b")})
		p := worker.NewPauses(r.js, "", "ann@ops")
		r.must(p.PauseDestination(r.Context(), source, "big", 0, "it moves"))
		bubble.Sleep(time.Second)
		for i := range 200 {
			r.toClinic(fmt.Sprint("held-", i), source, "big")
		}
		for i := range 50 {
			r.toClinic(fmt.Sprint("other-", i), source, "small")
			r.toClinic(fmt.Sprint("theirs-", i), "clinic-b", "big")
			r.publish(outbox.Message{ID: fmt.Sprint("none-", i)})
		}
		began := time.Now()
		r.until("the others are settled", func() bool { return len(r.all(worker.EventSettled)) == 150 })
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the others took %v", took)
		}
		bubble.Sleep(10 * time.Minute)
		if n := len(r.far.Calls()); n != 150 {
			t.Errorf("%d calls, want those of the 150 others", n)
		}
		info, err := r.consumer(source + "-send")
		r.must(err)
		if state, err := info.Info(r.Context()); err != nil || state.NumAckPending != 200 || state.Delivered.Consumer > 300+200*(1+31) {
			t.Errorf("%d deliveries, %d held back, %v", state.Delivered.Consumer, state.NumAckPending, err)
		}
		if s := w.Status().Pauses; len(s) != 1 || s[0].Scope != "dest:clinic-a:big" || !s[0].Operator || s[0].Reason != "it moves" || s[0].By != "ann@ops" {
			t.Errorf("%+v", s)
		}
		if e := r.all(worker.EventPaused); len(e) != 2 || e[0].Scope != "dest:clinic-a:big" || !e[0].Operator {
			t.Errorf("events: %+v", e)
		}
		if got := pausedIn(t, registry); len(got) != 1 || got[" operator dest:clinic-a:big"] != 1 {
			t.Errorf("metrics: %v", got)
		}
		if found, err := p.ResumeDestination(r.Context(), source, "big"); err != nil || !found {
			t.Error(found, err)
		}
		ended := time.Now()
		r.until("all are settled", func() bool { return r.stored("REDOX_OUT") == 0 })
		if took := time.Since(ended); took > 32*time.Second {
			t.Errorf("what was held back took %v", took)
		}
		for _, e := range r.all(worker.EventSettled) {
			if e.Settlement != outbox.Delivered || e.Attempt != 1 || e.PossibleDuplicate {
				t.Errorf("%s: %s with %d attempts, possible duplicate %v", e.MessageID, e.Settlement, e.Attempt, e.PossibleDuplicate)
			}
		}
		if n := len(r.far.Calls()); n != 350 {
			t.Errorf("%d calls for 350 messages", n)
		}

		// For a while, for whichever source, and in whichever case it is written.
		r.must(p.PauseDestination(r.Context(), "", "BIG", 10*time.Second, ""))
		bubble.Sleep(time.Second)
		r.toClinic("all-1", source, "big")
		r.toClinic("all-2", "clinic-b", "Big")
		bubble.Sleep(8 * time.Second)
		if n := len(r.far.Calls()); n != 350 {
			t.Errorf("%d calls while it is paused for all", n)
		}
		bubble.Sleep(3 * time.Second)
		if n := len(r.far.Calls()); n != 352 {
			t.Errorf("%d calls after a while", n)
		}
	})
}

// An ordered message whose destination is paused holds up its order, wherever the others of it go, and
// no other order.
func TestPauses_OfADestinationKeepTheOrder(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start(worker.Config{Sources: toClinics(source)})
		p := worker.NewPauses(r.js, "", "ann@ops")
		r.must(p.PauseDestination(r.Context(), source, "big", 0, ""))
		bubble.Sleep(time.Second)
		for i := range 20 {
			to := []string{"big", "small"}[i%2]
			r.publish(outbox.Message{ID: fmt.Sprintf("a-%02d", i), Kind: outbox.KindFHIR, Path: to + "/Production/Patient", OrderToken: strings.Repeat("a", 32)})
			r.publish(outbox.Message{ID: fmt.Sprintf("b-%02d", i), Kind: outbox.KindFHIR, Path: "small/Production/Patient", OrderToken: strings.Repeat("b", 32)})
		}
		bubble.Sleep(5 * time.Minute)
		if n := len(r.far.Calls()); n != 20 {
			t.Errorf("%d calls, want those of the other order", n)
		}
		_, err := p.ResumeDestination(r.Context(), source, "big")
		r.must(err)
		r.until("all are settled", func() bool { return r.stored("REDOX_OUT") == 0 })
		at := 0
		for _, c := range r.far.Calls() {
			if id, ok := strings.CutPrefix(c.ID, "a-"); ok {
				if want := fmt.Sprintf("%02d", at); id != want {
					t.Errorf("a-%s was sent in place of a-%s", id, want)
				}
				at++
			}
		}
	})
}

// A thousand destinations of one source are paused as one is.
func TestPauses_OfAThousandDestinations(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start(worker.Config{Sources: toClinics(source)})
		// As many calls of PauseDestination leave it.
		paused := func(last int, n int) {
			scopes := map[string]any{}
			for i := range n {
				scopes[fmt.Sprint("pause:clinic-a:clinic-", i)] = map[string]any{"generation": i + 1, "left": -1, "operator": true, "by": "ann@ops"}
			}
			data, err := json.Marshal(map[string]any{"last": last, "scopes": scopes})
			r.must(err)
			_, err = r.bucket("REDOX_STATE").Put(r.Context(), "pauses", data)
			r.must(err)
			bubble.Sleep(time.Second)
		}
		paused(1000, 1000)
		for i := range 1001 {
			r.toClinic(fmt.Sprint("m-", i), source, fmt.Sprint("clinic-", i))
		}
		r.until("the one that is not paused is settled", func() bool { return len(r.all(worker.EventSettled)) == 1 })
		paused(1001, 1)
		bubble.Sleep(45 * time.Second)
		if n := len(r.all(worker.EventSettled)); n != 1000 || r.stored("REDOX_OUT") != 1 {
			t.Errorf("%d are settled, %d wait", n, r.stored("REDOX_OUT"))
		}
		p := worker.NewPauses(r.js, "", "ann@ops")
		if err := p.PauseDestination(r.Context(), source, "a patient's", 0, ""); err == nil || strings.Contains(err.Error(), "patient's") {
			t.Errorf("what is no destination: %v", err)
		}
	})
}

// What is no name of a source pauses nothing: neither all sources, nor a destination of one.
func TestPauses_OfNoSource(t *testing.T) {
	inBubble(t, func(r *rig) {
		p := worker.NewPauses(r.js, "", "ann@ops")
		r.must(p.Pause(r.Context(), "", 0, ""))
		r.must(p.PauseDestination(r.Context(), source, "big", 0, ""))
		for _, of := range []string{"*", "clinic-a:big", "a b"} {
			_, resumed := p.Resume(r.Context(), of)
			_, left := p.ResumeDestination(r.Context(), of, "big")
			for _, err := range []error{p.Pause(r.Context(), of, 0, ""), p.PauseDestination(r.Context(), of, "big", 0, ""), resumed, left} {
				if err == nil {
					t.Errorf("%q is taken for a source", of)
				}
			}
		}
		if list, err := p.List(r.Context()); err != nil || len(list) != 2 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}
