package operate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/operate"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// What cannot be written into the audit trail is not done, whatever it is.
func TestDesk_DoesNothingWithoutAnEntry(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.bury(2)
		l := r.letter("m-0")
		r.must(r.js.DeleteStream(r.Context(), "REDOX_AUDIT"))
		last := func(all func(func(dlq.Handled, error) bool)) (last error) {
			for _, err := range all {
				last = err
			}
			return last
		}
		ctx := r.Context()
		_, reveal := r.desk.Reveal(ctx, l, "")
		_, edit := r.desk.Edit(ctx, l, []byte(`{}`), dlq.ReplayOptions{}, "")
		_, stored := r.desk.Import(ctx, []dlq.Letter{l.Letter}, "a file", "")
		_, resume := r.desk.Resume(ctx, source, "")
		_, resumeTo := r.desk.ResumeDestination(ctx, source, "big", "")
		_, hold := r.desk.Hold(ctx, source, "m-0", "")
		var export error
		for _, err := range r.desk.Export(ctx, dlq.Query{}, true, "") {
			export = err
		}
		for what, err := range map[string]error{
			"replay": last(r.desk.Replay(ctx, r.choose(), operate.ReplayOptions{})), "discard": last(r.desk.Discard(ctx, r.choose(), dlq.DiscardOptions{}, "")),
			"reveal": reveal, "edit": edit, "import": stored, "export": export, "pause": r.desk.Pause(ctx, source, 0, ""), "resume": resume, "hold": hold,
			"pause a destination": r.desk.PauseDestination(ctx, source, "big", 0, ""), "resume a destination": resumeTo,
			"release": r.desk.Release(ctx, source, "0123456789abcdef0123456789abcdef", ""),
		} {
			if !errors.Is(err, audit.ErrNotKept) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := r.choose().Len(); n != 2 {
			t.Errorf("%d dead letters are left", n)
		}
		if list, err := worker.NewPauses(r.js, "", "").List(ctx); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// What is no source and no order token leaves no entry: it may be anything, an order key too. What
// is typed as a reason does nothing to the screens that show it.
func TestDesk_WhatIsTyped(t *testing.T) {
	inBubble(t, func(r *rig) {
		const patient = "MRN 4711"
		_, resume := r.desk.Resume(r.Context(), patient, "")
		_, hold := r.desk.Hold(r.Context(), patient, "m", "")
		for what, err := range map[string]error{"pause": r.desk.Pause(r.Context(), patient, 0, ""), "resume": resume, "hold": hold,
			"pause of": r.desk.PauseDestination(r.Context(), patient, "big", 0, ""), "destination": r.desk.PauseDestination(r.Context(), source, patient, 0, ""),
			"release": r.desk.Release(r.Context(), source, patient, ""), "release of": r.desk.Release(r.Context(), patient, "0123456789abcdef0123456789abcdef", "")} {
			if err == nil || (what == "release" || what == "destination") && strings.Contains(err.Error(), patient) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if d := r.deeds(audit.Query{}); len(d) != 0 {
			t.Errorf("%+v", d)
		}
		r.must(r.desk.Pause(r.Context(), source, 0, "a\nb\x1b[2J"))
		if list, err := worker.NewPauses(r.js, "", "").List(r.Context()); err != nil || len(list) != 1 || list[0].Reason != "a b [2J" {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// A deed about many messages has one entry that counts them, and says which in a few parts.
func TestDesk_ManyMessagesHaveOneEntry(t *testing.T) {
	const many = 20_000 // with ids of 40 bytes, which JSON writes with 65
	var kept []audit.Deed
	record, err := audit.NewRecorder(func(_ context.Context, d audit.Deed) error { kept = append(kept, d); return nil }, "ann@ops")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string][]string{}
	for i := range many {
		s := fmt.Sprintf("clinic-%d", i%5)
		ids[s] = append(ids[s], fmt.Sprintf("<<>>&%035d", i))
	}
	if _, err := record.Begin(t.Context(), audit.Deed{Action: audit.Discard, Count: many, IDs: ids, Filter: "error=status 400", Reason: "a\nb\x1b[2J"}); err != nil {
		t.Fatal(err)
	}
	found, deeds := 0, 0
	for _, d := range kept {
		for _, list := range d.IDs {
			found += len(list)
		}
		if text, err := json.Marshal(d); err != nil || len(text) > 600<<10 || d.Reason != "a b [2J" || d.Filter != "error=status 400" {
			t.Errorf("an entry of %d bytes, %v: %s %s", len(text), err, d.Reason, d.Filter)
		}
		if d.Part == 0 {
			deeds++
			if d.Count != many || d.Parts != len(kept)-1 || d.Parts > 4 || len(d.IDs) > 0 || d.By != "ann@ops" {
				t.Errorf("%+v", d)
			}
		} else if d.ID != kept[len(kept)-1].ID {
			t.Errorf("part %d is of another deed", d.Part)
		}
	}
	if found != many || deeds != 1 {
		t.Errorf("%d entries with %d ids", deeds, found)
	}
}

func TestRecorder_ASinkThatPanicsKeepsNothing(t *testing.T) {
	record, err := audit.NewRecorder(func(context.Context, audit.Deed) error { panic("sink") }, "ann@ops")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := record.Begin(t.Context(), audit.Deed{Action: audit.Pause}); !errors.Is(err, audit.ErrNotKept) {
		t.Errorf("%v", err)
	}
}

// A dead letter goes out with another body in its place of the order, and says so, also where it
// dies again.
func TestDesk_EditKeepsOrderAndLineage(t *testing.T) {
	inBubble(t, func(r *rig) {
		no := worker.Permanent(errors.New("no"))
		r.answer("m", no)
		r.answer("m:r1", no)
		r.start()
		r.publish(outbox.Message{ID: "m", OrderKey: "k"})
		bubble.Sleep(5 * time.Second)
		l := r.letter("m")
		h, err := r.desk.Edit(r.Context(), l, []byte(`{"Meta":{"DataModel":"Order","EventType":"New"},"of":1}`), dlq.ReplayOptions{}, "wrong unit")
		r.must(err)
		if h.Outcome != dlq.Replayed || h.ReplayID != "m:r1" {
			t.Errorf("%+v", h)
		}
		bubble.Sleep(5 * time.Second)
		again := r.letter("m:r1")
		if again.Edits() != 1 || again.Position() != l.Position() || again.Subject != l.Subject {
			t.Errorf("%d edits, position %d and %d", again.Edits(), again.Position(), l.Position())
		}
		if body, err := r.desk.Reveal(r.Context(), again, ""); err != nil || string(body) != `{"Meta":{"DataModel":"Order","EventType":"New"},"of":1}` {
			t.Errorf("%s, %v", body, err)
		}
		if h, err = r.desk.Edit(r.Context(), l, []byte(`{}`), dlq.ReplayOptions{}, ""); err != nil || h.Outcome != dlq.Gone {
			t.Errorf("of one that is gone: %+v, %v", h, err)
		}
		if _, err := r.desk.Edit(r.Context(), again, nil, dlq.ReplayOptions{}, ""); err == nil {
			t.Error("an empty body is sent")
		}
		if d := r.deeds(audit.Query{Actions: []audit.Action{audit.Edit}}); len(d) != 3 || d[0].Reason != "wrong unit" || d[0].Source != source {
			t.Errorf("%+v", d)
		}
	})
}

// What is exported comes back as it was, bytes and headers, also where the body is an object.
func TestDesk_ExportAndImport(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.bury(3)
		var all []operate.Exported
		for l, err := range r.desk.Export(r.Context(), dlq.Query{}, true, "") {
			r.must(err)
			all = append(all, l)
		}
		for _, err := range r.desk.Discard(r.Context(), r.choose(), dlq.DiscardOptions{}, "") {
			r.must(err)
		}
		big := make([]byte, r.js.Conn().MaxPayload()+1)
		for i := range big {
			big[i] = 'x'
		}
		var letters []dlq.Letter
		for _, l := range all {
			l.Letter.Body = l.Body
			letters = append(letters, l.Letter)
		}
		letters[2].Body = big
		for round := range 2 {
			stored, err := r.desk.Import(r.Context(), letters, "a file", "")
			r.must(err)
			for i, is := range stored {
				if is != (round == 0) {
					t.Errorf("round %d, %d: %v", round, i, is)
				}
			}
		}
		for i, want := range letters {
			l := r.letter(want.MessageID)
			body, err := r.dead.Body(r.Context(), l)
			r.must(err)
			if string(body) != string(want.Body) || l.Sequence != want.Sequence || !l.At.Equal(want.At) || l.Subject != want.Subject || (l.Object() != "") != (i == 2) {
				t.Errorf("%d: %v, %d bytes", i, l, len(body))
			}
		}
	})
}

// bury has messages m-0, m-1 and so on die.
func (r *rig) bury(n int) {
	r.Helper()
	for i := range n {
		l := dlq.Letter{MessageID: fmt.Sprint("m-", i), Source: source, Settlement: outbox.Rejected, Error: fmt.Sprint("status 40", i%10), Status: 400, Attempts: 1,
			At: time.Now(), Subject: "redox.out.clinic-a.send", Sequence: uint64(i + 1), Worker: "w", Body: []byte(`{"Meta": {"DataModel":"Order"} }`)}
		_, err := r.js.PublishMsg(r.Context(), l.Encode(""))
		r.must(err)
	}
}

// letter is the dead letter of a message.
func (r *rig) letter(id string) dlq.Stored {
	r.Helper()
	all, err := r.dead.Get(r.Context(), source, id)
	r.must(err)
	return all[0]
}
