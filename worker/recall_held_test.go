package worker_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker"
)

// tokenOf is the token that ordered publishes under.
func (r *rig) tokenOf(key string) string {
	r.Helper()
	token, err := outbox.OrderToken([]byte("0123456789abcdef0123456789abcdef"), key)
	if err != nil {
		r.Fatal(err)
	}
	return token
}

// rejecting makes the far side refuse some messages for good, by their id.
func (r *rig) rejecting(refused func(id string) bool) {
	r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
		if refused(m.ID) {
			return outbox.Answer{Status: 400}, worker.Permanent(errFar)
		}
		return outbox.Answer{Status: 200}, nil
	}
}

// replay publishes a dead letter again as a replay does: in order, with its position.
func (r *rig) replay(d dlq.Letter, key string) string {
	r.Helper()
	at, _ := d.Place("")
	return r.publish(outbox.Message{ID: d.MessageID + ":r1", ReplayOf: d.MessageID, ReplayCount: 1, OrderToken: r.tokenOf(key), Position: at.Position, Behind: at.Behind})
}

// sent are the ids of all calls, in order.
func (r *rig) sent() []string {
	var ids []string
	for _, c := range r.far.Calls() {
		ids = append(ids, c.ID)
	}
	return ids
}

func TestGuarantee_HoldAfterADeadLetter(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.rejecting(func(id string) bool { return id == "a1" })
		r.start(worker.Config{HoldAfterDeadLetter: true, ID: "one"})
		r.start(worker.Config{HoldAfterDeadLetter: true, ID: "two"})
		for _, id := range []string{"a1", "a2", "a3"} {
			r.ordered(id, "patient a")
			r.ordered("b"+id[1:], "patient b")
		}
		for id, want := range map[string]outbox.Settlement{
			"a1": outbox.Rejected, "a2": outbox.Held, "a3": outbox.Held, "b1": outbox.Delivered, "b2": outbox.Delivered, "b3": outbox.Delivered,
		} {
			if e := r.awaitSettled(id); e.Settlement != want {
				t.Errorf("%s: settled %s, want %s", id, e.Settlement, want)
			} else if want == outbox.Held && !strings.Contains(e.Error, "replay them together, or discard that one if it cannot be sent") {
				t.Errorf("%s: %s", id, e.Error)
			}
		}
		if ids := r.sent(); slices.Contains(ids, "a2") || slices.Contains(ids, "a3") {
			t.Errorf("sent %v: what waits behind a dead letter must not be sent", ids)
		}
	})
}

// The mended messages go in their old order; what comes new waits until the last of them
// was published, and a replay that fails again holds the rest once more.
func TestGuarantee_ReplayInOrderBehindADeadLetter(t *testing.T) {
	inBubble(t, func(r *rig) {
		broken := map[string]bool{"a1": true, "a2:r1": true}
		r.rejecting(func(id string) bool { return broken[id] })
		r.start(worker.Config{HoldAfterDeadLetter: true})
		const key = "patient a"
		for _, id := range []string{"a1", "a2", "a3", "a4"} {
			r.ordered(id, key)
		}
		r.awaitSettled("a4")
		letters := r.deadLetters()
		if len(letters) != 4 {
			t.Fatalf("%d dead letters, want 4", len(letters))
		}
		for i, d := range letters {
			r.replay(d, key)
			if i == 1 {
				r.ordered("a5", key) // an application goes on meanwhile
			}
			r.awaitSettled(d.MessageID + ":r1")
		}
		for id, want := range map[string]outbox.Settlement{
			"a1:r1": outbox.Delivered, "a2:r1": outbox.Rejected, "a3:r1": outbox.Held, "a4:r1": outbox.Held, "a5": outbox.Held,
		} {
			if e := r.awaitSettled(id); e.Settlement != want {
				t.Errorf("%s: settled %s, want %s", id, e.Settlement, want)
			}
		}
		held, err := dlq.NewHeldTokens(r.js, "").Load(r.Context(), source, r.tokenOf(key))
		if a2, a5 := letters[1].Position(), uint64(7); err != nil || held.First != a2 || held.Last != a5 {
			t.Errorf("held %+v, %v: want a2 (%d) to a5 (%d)", held, err, a2, a5)
		}
	})
}

// A worker died between marking the token and writing the dead letter; at the second try
// the message is delivered, and nothing waits behind it.
func TestGuarantee_AMarkOfAMessageDeliveredAfterAllIsTakenBack(t *testing.T) {
	inBubble(t, func(r *rig) {
		tokens := dlq.NewHeldTokens(r.js, "")
		if _, err := tokens.Hold(r.Context(), dlq.OrderPlace{Source: source, Token: r.tokenOf("patient a"), Position: 1, Sequence: 1}); err != nil {
			t.Fatal(err)
		}
		r.ordered("a1", "patient a")
		r.ordered("a2", "patient a")
		r.start(worker.Config{HoldAfterDeadLetter: true})
		for _, id := range []string{"a1", "a2"} {
			if e := r.awaitSettled(id); e.Settlement != outbox.Delivered {
				t.Errorf("%s: settled %s (%s)", id, e.Settlement, e.Error)
			}
		}
		if list, err := tokens.List(r.Context()); err != nil || len(list) != 0 {
			t.Errorf("still held: %v, %v", list, err)
		}
	})
}

func TestGuarantee_WithoutHoldLaterMessagesGoOn(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.rejecting(func(id string) bool { return id == "a1" })
		r.start(worker.Config{})
		r.ordered("a1", "patient a")
		r.ordered("a2", "patient a")
		if e := r.awaitSettled("a2"); e.Settlement != outbox.Delivered {
			t.Errorf("settled %s", e.Settlement)
		}
		if list, err := dlq.NewHeldTokens(r.js, "").List(r.Context()); err != nil || len(list) != 0 {
			t.Errorf("held: %v, %v", list, err)
		}
	})
}
