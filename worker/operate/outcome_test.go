package operate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/operate"
)

// Each deed is followed by how it ended, however that was: to its end, by its operator in the middle, by an
// error. A deed without an outcome was killed.
func TestDesk_EachDeedHasItsOutcome(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.bury(8)
		last := func() string {
			all := r.entries(audit.Query{})
			d, begun := all[len(all)-1], all[len(all)-2]
			if d.ID != begun.ID || begun.Outcome != "" || d.By != "ann@ops" || d.Action != begun.Action || d.Source != begun.Source {
				t.Errorf("%+v\n%+v", begun, d)
			}
			return fmt.Sprint(d.Action, " ", d.Outcome, " ", d.Counts, " ", d.Error)
		}
		want := func(text string) {
			t.Helper()
			if got := last(); got != text {
				t.Errorf("%s, want %s", got, text)
			}
		}
		for range r.desk.Discard(r.Context(), r.choose("m-0", "m-1"), dlq.DiscardOptions{}, "") {
		}
		want("discard done map[discarded:2] ")
		for range r.desk.Replay(r.Context(), r.choose("m-2", "m-3", "m-4"), operate.ReplayOptions{}) {
			break
		}
		want("replay interrupted map[replayed:1] ")
		ctx, cancel := context.WithCancel(r.Context())
		o := operate.ReplayOptions{}
		o.Pace = func(context.Context) error { cancel(); return ctx.Err() }
		for range r.desk.Replay(ctx, r.choose(), o) {
		}
		want("replay interrupted map[] ")
		r.start()
		r.answer("m-5:r1", worker.Permanent(errors.New("no")))
		for range r.desk.Replay(r.Context(), r.choose("m-5", "m-6"), operate.ReplayOptions{Canary: 1}) {
		}
		want("replay failed map[replayed:1] canary: 1 of 1 failed again, 1 dead letter left untouched; see dlq show")
		r.must(r.desk.Pause(r.Context(), source, time.Minute, "because"))
		want("pause done map[] ")
		if _, err := r.desk.Hold(r.Context(), source, "none", ""); err == nil {
			t.Error("held")
		}
		if d := r.entries(audit.Query{Message: "none"}); len(d) != 2 || d[1].Outcome != audit.Failed || d[1].Error == "" {
			t.Errorf("%+v", d)
		}
		_, err := r.desk.Edit(r.Context(), r.letter("m-6"), []byte(`{}`), dlq.ReplayOptions{}, "")
		r.must(err)
		want("edit done map[replayed:1] ")
	})
}

// A deed whose outcome cannot be written is done, and the error says both.
func TestDesk_AnOutcomeThatIsNotKept(t *testing.T) {
	inBubble(t, func(r *rig) {
		kept := 0
		record, err := audit.NewRecorder(func(context.Context, audit.Deed) error {
			if kept++; kept%2 == 0 {
				return errors.New("no room")
			}
			return nil
		}, "ann@ops")
		r.must(err)
		desk, err := operate.New(r.js, "", r.dead, record)
		r.must(err)
		if err := desk.Pause(r.Context(), source, 0, ""); !errors.Is(err, audit.ErrOutcomeNotKept) || errors.Is(err, audit.ErrNotKept) {
			t.Errorf("%v", err)
		}
		if list, err := worker.NewPauses(r.js, "", "").List(r.Context()); err != nil || len(list) != 1 {
			t.Errorf("%v, %v", list, err)
		}
	})
}
