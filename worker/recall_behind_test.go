package worker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/order"
)

const heldKey = "patient a"

// heldBehind has n messages a-01… of one order dead-lettered behind the first of them, which is
// mended then, and one of a neighbour's delivered.
func (r *rig) heldBehind(n int) {
	r.Helper()
	var broken atomic.Bool
	broken.Store(true)
	r.rejecting(func(id string) bool { return id == "a-01" && broken.Load() })
	r.start(worker.Config{HoldAfterDeadLetter: true, ID: "one"})
	r.start(worker.Config{HoldAfterDeadLetter: true, ID: "two"})
	for i := range n {
		r.ordered(fmt.Sprintf("a-%02d", i+1), heldKey)
	}
	r.ordered("b", "patient b")
	r.awaitSettled(fmt.Sprintf("a-%02d", n))
	r.awaitSettled("b")
	broken.Store(false)
}

// heldNote is what the ledger holds of an order, as it is stored; "" is nothing.
func (r *rig) heldNote(key string) string {
	r.Helper()
	entry, err := r.bucket("REDOX_LEDGER").Get(r.Context(), "hold."+source+"."+r.tokenOf(key))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return ""
	}
	r.must(err)
	return string(entry.Value())
}

// replayed sends dead letters again by their ids, as one selection, and waits for their messages.
func (r *rig) replayed(d *dlq.Store, ids ...string) string {
	r.Helper()
	var all []string
	for _, h := range r.replayAll(d, dlq.Query{IDs: ids}) {
		what := h.MessageID + " " + string(h.Outcome)
		if h.Outcome == dlq.Replayed {
			what = h.MessageID + " " + string(r.awaitSettled(h.ReplayID).Settlement)
		}
		all = append(all, what)
	}
	return strings.Join(all, ", ")
}

func (r *rig) discarded(d *dlq.Store, id string) {
	r.Helper()
	s, err := d.Select(r.Context(), dlq.Query{IDs: []string{id}})
	r.must(err)
	for h, err := range d.Discard(r.Context(), s, dlq.DiscardOptions{}) {
		if r.must(err); h.Outcome != dlq.Discarded {
			r.Errorf("%s: %s (%s)", id, h.Outcome, h.Reason)
		}
	}
}

// goesOn sees a new message of the order be delivered at once, and nothing be held any more.
func (r *rig) goesOn() {
	r.Helper()
	r.ordered("new", heldKey)
	if e := r.awaitSettled("new"); e.Settlement != outbox.Delivered {
		r.Errorf("a new message is settled %s (%s)", e.Settlement, e.Error)
	}
	if note := r.heldNote(heldKey); note != "" {
		r.Errorf("the token is still held: %s", note)
	}
}

// sentSince are the calls after the first ones, which had one of each order.
func (r *rig) sentSince() string { return strings.Join(r.sent()[2:], " ") }

// What is kept of an order is as large behind one message that waits as behind many, and what
// waits is sent in its old order.
func TestHoldBehind_ItsNoteDoesNotGrow(t *testing.T) {
	sizes := map[int]int{}
	for _, n := range []int{2, 90} {
		inBubble(t, func(r *rig) {
			for range 9 {
				r.publish(outbox.Message{Lane: contract.LaneRequest}) // so that all positions have two digits
			}
			r.heldBehind(n)
			sizes[n] = len(r.heldNote(heldKey))
			if r.heldNote("patient b") != "" {
				t.Error("the neighbour is held")
			}
			var want []string
			for _, h := range r.replayAll(r.dead(), dlq.Query{}) {
				if e := r.awaitSettled(h.ReplayID); e.Settlement != outbox.Delivered {
					t.Errorf("%s: %s (%s)", h.ReplayID, e.Settlement, e.Error)
				}
				want = append(want, h.ReplayID)
			}
			got := slices.DeleteFunc(r.sent(), func(id string) bool { return !strings.HasSuffix(id, ":r1") })
			if !slices.IsSorted(want) || !slices.Equal(got, want) || len(want) != n {
				t.Errorf("sent %v", got)
			}
			r.goesOn()
		})
	}
	if sizes[2] == 0 || sizes[2] != sizes[90] {
		t.Errorf("bytes of the note by messages that wait: %v", sizes)
	}
}

func TestHoldBehind_OneByOne(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.heldBehind(4)
		d := r.dead()
		if got := r.replayed(d, "a-03"); got != "a-03 behind" {
			t.Error(got)
		}
		for _, id := range []string{"a-01", "a-02"} {
			if got := r.replayed(d, id); got != id+" delivered" {
				t.Error(got)
			}
		}
		if got := r.replayed(d, "a-04"); got != "a-04 behind" {
			t.Error(got)
		}
		r.ordered("between", heldKey)
		if e := r.awaitSettled("between"); e.Settlement != outbox.Held || !strings.Contains(e.Error, "replay them together") {
			t.Errorf("%s (%s)", e.Settlement, e.Error)
		}
		for _, id := range []string{"a-03", "a-04", "between"} {
			if got := r.replayed(d, id); got != id+" delivered" {
				t.Error(got)
			}
		}
		r.goesOn()
	})
}

// A selection of the first ones goes; one with a hole does not get over it; later ones that are
// published all the same are held again, each time, and keep their place.
func TestHoldBehind_ASelection(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.heldBehind(6)
		d := r.dead()
		if got := r.replayed(d, "a-01", "a-02", "a-04", "a-05"); got != "a-01 delivered, a-02 delivered, a-04 behind, a-05 behind" {
			t.Error(got)
		}
		for _, letter := range r.deadLetters() {
			if letter.MessageID == "a-05" || letter.MessageID == "a-06" {
				id := r.replay(letter, heldKey)
				if e := r.awaitSettled(id); e.Settlement != outbox.Held || !strings.Contains(e.Error, "replay them together") {
					t.Errorf("%s: %s (%s)", id, e.Settlement, e.Error)
				}
				r.deleteLetter(letter)
			}
		}
		if got := r.replayed(d, "a-03", "a-04", "a-05", "a-06"); got != "a-03 delivered, a-04 delivered, a-05:r1 delivered, a-06:r1 delivered" {
			t.Error(got)
		}
		r.goesOn()
		if got := r.sentSince(); got != "a-01:r1 a-02:r1 a-03:r1 a-04:r1 a-05:r2 a-06:r2 new" {
			t.Errorf("sent %s", got)
		}
	})
}

// deleteLetter deletes the dead letter of a message that was published again by hand.
func (r *rig) deleteLetter(letter dlq.Letter) {
	r.Helper()
	s, err := r.js.Stream(r.Context(), "REDOX_DLQ")
	r.must(err)
	msg, err := s.GetLastMsgForSubject(r.Context(), letter.Encode("").Subject)
	r.must(err)
	r.must(s.DeleteMsg(r.Context(), msg.Sequence))
}

func TestHoldBehind_Discards(t *testing.T) {
	for _, tt := range []struct {
		name    string
		discard []string
		want    string
	}{
		{"the first", []string{"a-01"}, "a-02:r1 a-03:r1 a-04:r1 a-05:r1 new"},
		{"one in the middle", []string{"a-03"}, "a-01:r1 a-02:r1 a-04:r1 a-05:r1 new"},
		{"the last", []string{"a-05"}, "a-01:r1 a-02:r1 a-03:r1 a-04:r1 new"},
		{"the last ones, backwards", []string{"a-05", "a-04"}, "a-01:r1 a-02:r1 a-03:r1 new"},
		{"every second", []string{"a-02", "a-04"}, "a-01:r1 a-03:r1 a-05:r1 new"},
		{"all but one", []string{"a-04", "a-01", "a-05", "a-02"}, "a-03:r1 new"},
		{"all", []string{"a-03", "a-01", "a-05", "a-02", "a-04"}, "new"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.heldBehind(5)
				d := r.dead()
				for _, id := range tt.discard {
					r.discarded(d, id)
				}
				for _, h := range r.replayAll(d, dlq.Query{}) {
					if e := r.awaitSettled(h.ReplayID); e.Settlement != outbox.Delivered {
						t.Errorf("%s: %s (%s)", h.ReplayID, e.Settlement, e.Error)
					}
				}
				r.goesOn()
				if got := r.sentSince(); got != tt.want {
					t.Errorf("sent %s", got)
				}
			})
		})
	}
}

// A replay that is stopped in the middle holds what comes new; another goes on with it.
func TestHoldBehind_InterruptedAndResumed(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.heldBehind(6)
		d := r.dead()
		s, err := d.Select(r.Context(), dlq.Query{})
		r.must(err)
		n := 0
		for h, err := range d.Replay(r.Context(), s, dlq.ReplayOptions{}) {
			r.must(err)
			r.awaitSettled(h.ReplayID)
			if n++; n == 3 {
				break
			}
		}
		r.ordered("between", heldKey)
		if e := r.awaitSettled("between"); e.Settlement != outbox.Held {
			t.Errorf("%s", e.Settlement)
		}
		for _, h := range r.replayAll(d, dlq.Query{}) {
			r.awaitSettled(h.ReplayID)
		}
		r.goesOn()
		if got := r.sentSince(); got != "a-01:r1 a-02:r1 a-03:r1 a-04:r1 a-05:r1 a-06:r1 between:r1 new" {
			t.Errorf("sent %s", got)
		}
	})
}

// Two operators replay the same dead letters at the same time: each is sent once, in order.
func TestHoldBehind_TwoReplaysSideBySide(t *testing.T) {
	inBubble(t, func(r *rig) {
		const n = 20
		r.heldBehind(n)
		d, other := r.dead(), r.dead()
		s, err := d.Select(r.Context(), dlq.Query{})
		r.must(err)
		var both sync.WaitGroup
		for _, letters := range []*dlq.Store{d, other} {
			both.Go(func() {
				for h, err := range letters.Replay(r.Context(), s, dlq.ReplayOptions{}) {
					if err != nil || !h.Outcome.Removed() {
						t.Errorf("%+v, %v", h, err)
					}
				}
			})
		}
		both.Wait()
		r.goesOn()
		sent := strings.Fields(r.sentSince())
		if len(sent) != n+1 || !slices.IsSorted(sent) {
			t.Errorf("sent %v", sent)
		}
	})
}

// A message that an operator holds by hand holds what is behind it, and is let go as any other.
func TestHoldBehind_HeldByHand(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.ordered("a-01", heldKey)
		r.ordered("a-02", heldKey)
		r.until("it is held by hand", func() bool {
			_, err := order.NewTokens(r.js, "").Hold(r.Context(), source, "a-01")
			return err == nil
		})
		r.start(worker.Config{HoldAfterDeadLetter: true})
		for _, id := range []string{"a-01", "a-02"} {
			if e := r.awaitSettled(id); e.Settlement != outbox.Held {
				t.Errorf("%s: %s", id, e.Settlement)
			}
		}
		if got := r.replayed(r.dead(), "a-01", "a-02"); got != "a-01 delivered, a-02 delivered" {
			t.Error(got)
		}
		r.goesOn()
	})
}
