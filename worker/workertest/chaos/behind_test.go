package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// With order.after_dead_letter hold a worker is killed between every pair of steps: of the
// message that dies, of the one that is held behind it, and of their replays. Nothing is lost,
// nothing goes before its turn, and at the end nothing is held.
func TestSteps_HoldBehindADeadLetter(t *testing.T) {
	t.Parallel()
	for _, way := range []struct{ dying, replayed string }{
		{"receive", "receive"}, {"order", "order"}, {"dead-letter", "answer"}, {"reply", "reply"}, {"ack", "ack"}, {"acked", "acked"},
	} {
		for nth := 1; nth <= 2; nth++ {
			t.Run(fmt.Sprintf("%s:%d", way.dying, nth), func(t *testing.T) {
				t.Parallel()
				heldBehind(t, fmt.Sprint(way.dying, ":", nth), fmt.Sprint(way.replayed, ":", nth))
			})
		}
	}
}

func heldBehind(t *testing.T, dying, replayed string) {
	const holds = "REDOXWORKER_ORDER_AFTER_DEAD_LETTER=hold"
	b := bench(t, Config{Far: &redoxsim.Server{}, Failpoints: true, Workers: 1, AckWait: time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	killedAndStarted := func(point string) {
		must(t, b.Start(0, holds, "WORKER_FAILPOINT="+point))
		must(t, b.Died(0))
		must(t, b.Start(0, holds))
	}
	for _, id := range []string{"a1", "a2", "a3"} {
		m := Sending{ID: id, Key: "patient a", Reply: true, Dies: outbox.Held}
		if id == "a1" {
			m.Faults, m.Dies = always("400"), outbox.Rejected
		}
		must(t, b.Publish(ctx, m))
	}
	killedAndStarted(dying)
	must(t, b.Publish(ctx, Sending{ID: "b1", Key: "patient b", Reply: true}))
	must(t, b.Drained(ctx, time.Minute))
	must(t, b.StopAll())
	verify(t, b, ctx)
	if got := sentOf(t, b, ctx, "a"); got != "a1" {
		t.Errorf("sent %s before anybody has replayed anything", got)
	}
	if got := sentOf(t, b, ctx, "b"); got != "b1" {
		t.Errorf("of the neighbour sent %q", got)
	}

	dead, err := dlq.New(b.js, dlq.Config{})
	must(t, err)
	first, err := dead.Select(ctx, dlq.Query{IDs: []string{"a1"}})
	must(t, err)
	for _, err := range dead.Discard(ctx, first, dlq.DiscardOptions{}) {
		must(t, err)
	}
	rest, err := dead.Select(ctx, dlq.Query{})
	must(t, err)
	for h, err := range dead.Replay(ctx, rest, dlq.ReplayOptions{}) {
		if must(t, err); h.Outcome != dlq.Replayed {
			t.Errorf("%s: %s", h.MessageID, h.Outcome)
		}
	}
	killedAndStarted(replayed)
	must(t, b.Drained(ctx, time.Minute))
	must(t, b.Publish(ctx, Sending{ID: "a4", Key: "patient a"}))
	must(t, b.Drained(ctx, time.Minute))
	must(t, b.StopAll())
	if got := sentOf(t, b, ctx, "a"); got != "a1 a2 a3 a4" {
		t.Errorf("sent %s", got)
	}
	held, err := dlq.NewHeldTokens(b.js, "").List(ctx)
	if must(t, err); len(held) > 0 {
		t.Errorf("still held: %+v", held)
	}
	if left, err := dead.Select(ctx, dlq.Query{}); err != nil || left.Len() > 0 {
		t.Errorf("%d dead letters are left, %v", left.Len(), err)
	}
	if t.Failed() {
		t.Log(b.Logs(1500))
	}
}

// sentOf are the messages of all requests for one patient, in order; what a kill had repeated
// counts once.
func sentOf(t *testing.T, b *Bench, ctx context.Context, patient string) string {
	t.Helper()
	r, err := b.Record(ctx)
	must(t, err)
	slices.SortStableFunc(r.Requests, func(a, b Request) int { return int(a.Begin - b.Begin) })
	var ids []string
	for _, q := range r.Requests {
		if strings.HasPrefix(q.ID, patient) {
			ids = append(ids, q.ID)
		}
	}
	return strings.Join(slices.Compact(ids), " ")
}
