package worker_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// dead is an operator's view on the rig's dead letters.
func (r *rig) dead() *outbox.DeadLetters {
	r.Helper()
	d, err := outbox.NewDeadLetters(r.js, outbox.DeadLettersConfig{})
	if err != nil {
		r.Fatal(err)
	}
	return d
}

// replayAll sends all dead letters again and answers what Replay yields.
func (r *rig) replayAll(d *outbox.DeadLetters, q outbox.DeadQuery) []outbox.Handled {
	r.Helper()
	s, err := d.Select(r.Context(), q)
	if err != nil {
		r.Fatal(err)
	}
	var all []outbox.Handled
	for h, err := range d.Replay(r.Context(), s, outbox.ReplayOptions{}) {
		if err != nil {
			r.Fatal(err)
		}
		all = append(all, h)
	}
	return all
}

// Dead letters of an hour ago, and of a moment ago, are delivered by their replay; and the
// replay of a replay counts on.
func TestReplay_IsDelivered(t *testing.T) {
	inBubble(t, func(r *rig) {
		var broken atomic.Bool
		broken.Store(true)
		r.rejecting(func(string) bool { return broken.Load() })
		r.start(worker.Config{})
		d := r.dead()
		r.publish(outbox.Message{ID: "old"})
		r.awaitSettled("old")
		time.Sleep(time.Hour)
		r.publish(outbox.Message{ID: "new"})
		r.awaitSettled("new")
		for _, h := range r.replayAll(d, outbox.DeadQuery{}) {
			if e := r.awaitSettled(h.ReplayID); e.Settlement != outbox.Rejected {
				t.Errorf("%s: %s", h.ReplayID, e.Settlement)
			}
			if s, ok, err := d.Settled(r.Context(), h); s != outbox.Rejected || !ok || err != nil {
				t.Errorf("%s: settled %s, %v, %v", h.ReplayID, s, ok, err)
			}
		}
		broken.Store(false)
		var ids []string
		for _, h := range r.replayAll(d, outbox.DeadQuery{}) {
			ids = append(ids, h.ReplayID)
			if e := r.awaitSettled(h.ReplayID); e.Settlement != outbox.Delivered {
				t.Errorf("%s: %s", h.ReplayID, e.Settlement)
			}
		}
		if slices.Sort(ids); strings.Join(ids, " ") != "new:r2 old:r2" {
			t.Errorf("%v", ids)
		}
		if n := len(r.deadLetters()); n != 0 {
			t.Errorf("%d dead letters are left", n)
		}
	})
}

// With hold: the mended messages of a token and those that waited behind them arrive in
// their old order in one run, and what is published meanwhile comes after them.
func TestReplay_BehindADeadLetterInOneRun(t *testing.T) {
	inBubble(t, func(r *rig) {
		var broken atomic.Bool
		broken.Store(true)
		r.rejecting(func(id string) bool { return id == "a00" && broken.Load() })
		r.start(worker.Config{HoldAfterDeadLetter: true})
		const key, n = "patient a", 12
		for i := range n {
			r.ordered(fmt.Sprintf("a%02d", i), key)
		}
		r.awaitSettled(fmt.Sprintf("a%02d", n-1))
		broken.Store(false)
		d := r.dead()
		held := outbox.DeadQuery{Settlements: []outbox.Settlement{outbox.Held}}
		for _, h := range r.replayAll(d, held) {
			if h.Outcome != outbox.Behind {
				t.Errorf("%s was sent before the one that holds it: %s", h.MessageID, h.Outcome)
			}
		}
		for _, h := range r.replayAll(d, outbox.DeadQuery{}) {
			if e := r.awaitSettled(h.ReplayID); e.Settlement != outbox.Delivered {
				t.Errorf("%s: %s (%s)", h.ReplayID, e.Settlement, e.Error)
			}
		}
		r.ordered("b", key)
		if e := r.awaitSettled("b"); e.Settlement != outbox.Delivered {
			t.Errorf("b: %s (%s): the token is still held", e.Settlement, e.Error)
		}
		want := []string{"a00"}
		for i := range n {
			want = append(want, fmt.Sprintf("a%02d:r1", i))
		}
		if got := r.sent(); !slices.Equal(got, append(want, "b")) {
			t.Errorf("sent %v", got)
		}
	})
}
