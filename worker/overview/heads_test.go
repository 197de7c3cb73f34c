package overview_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/order"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// A head is being sent when a worker says that it has it, and not because it was delivered once.
func TestHeads_BeingSentOnlyByWhoHasIt(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.store(prefix.OrderedSubject("clinic-a", token(1)), 3)
		c, err := r.js.CreateConsumer(r.Context(), prefix.OutStream(), jetstream.ConsumerConfig{Durable: "clinic-a-send", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour,
			FilterSubjects: []string{prefix.SendSubject("clinic-a"), prefix.OrderedSubject("clinic-a", "*")}})
		r.must(err)
		batch, err := c.Fetch(1)
		r.must(err)
		for range batch.Messages() { // in hand, as far as the queue knows
		}
		check := func(when, by, state string, why overview.State) {
			t.Helper()
			heads, err := r.gatherer.Heads(r.Context(), "", 2, 0)
			r.must(err)
			for _, list := range [][]overview.Head{heads, r.gather().Heads} {
				if len(list) != 1 || list[0].Messages != 3 || list[0].By != by || list[0].Head.State != state || list[0].Why.State != why {
					t.Errorf("%s: %+v", when, list)
				}
			}
		}
		serves := map[string][]string{"clinic-a": {"key:main"}}
		check("no worker runs", "", order.Queued, overview.Unserved)
		w := ready
		w.InHand = map[string][]uint64{"clinic-a-send": {1}}
		stop := r.announce(w, serves)
		check("a worker has it", "w-1", order.Sending, overview.Moving)
		pauses := worker.NewPauses(r.js, prefix, "ann@ops")
		r.must(pauses.Pause(r.Context(), "clinic-a", 0, ""))
		check("a worker has it still, and the source is paused", "w-1", order.Sending, overview.Moving)
		stop()
		r.announce(ready, serves)
		check("the source is paused", "", order.Queued, overview.Paused)
		_, err = pauses.Resume(r.Context(), "clinic-a")
		r.must(err)
		check("nobody has it any more", "", order.Queued, overview.Moving)
		r.stopAll()
		r.announce(pausing("key:main"), serves)
		check("its key is refused", "", order.Queued, overview.NoToken)
	})
}

// The largest crowds are shown, of any source.
func TestHeads_TheLargestCrowds(t *testing.T) {
	inBubble(t, func(r *rig) {
		g, err := overview.New(r.js, overview.Config{Heads: 2})
		r.must(err)
		for n, of := range []int{1, 3, 2, 4} {
			r.store(prefix.OrderedSubject("clinic-a", token(n)), of)
		}
		var got []uint64
		for _, h := range g.Gather(r.Context()).Heads {
			got = append(got, h.Messages)
		}
		if !slices.Equal(got, []uint64{4, 3}) {
			t.Errorf("crowds of %d, want 4 and 3", got)
		}
	})
}
