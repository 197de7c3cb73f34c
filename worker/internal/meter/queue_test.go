package meter

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/tally"
)

// Of 200 sources with messages the gauges name those with most, and those that have waited
// longest; all others are one. A source whose single message is stuck behind thousands that are busy
// is found, with its true age.
func TestQueue_NamesWhatWaits(t *testing.T) {
	t.Parallel()
	r, q := prometheus.NewRegistry(), newQueue()
	r.MustRegister(q)
	if n := len(gather(t, r, "redoxworker_queue_messages")); n != 0 {
		t.Errorf("%d series before anything is known", n)
	}
	start := time.Now()
	stuck := start.Add(-time.Hour)
	seen := Seen{Queue: tally.Queue{At: start, First: stuck, Messages: map[tally.Waiting]uint64{{Source: "stuck", Lane: contract.LaneOrdered}: 1}, Astray: 2}, Unserved: 3}
	all := uint64(1)
	for i := range 200 {
		seen.Messages[tally.Waiting{Source: fmt.Sprintf("busy-%04d", i), Lane: contract.LaneSend}] = uint64(i + 1)
		all += uint64(i + 1)
	}
	asked := 0
	for round := 0; round < 15; round++ {
		seen.At = start.Add(time.Duration(round) * 15 * time.Second)
		q.Look(seen)
		for _, source := range q.Ask() {
			asked++
			stored := seen.At.Add(-time.Second)
			if source == "stuck" {
				stored = stuck
			}
			q.Oldest(source, stored)
		}
	}
	if asked > 15*MostWaiting {
		t.Errorf("%d were asked for in 15 rounds", asked)
	}
	oldest := gather(t, r, "redoxworker_source_oldest_seconds")
	if got := oldest["stuck"].GetGauge().GetValue(); got != seen.At.Sub(stuck).Seconds() || len(oldest) > MostWaiting {
		t.Errorf("%d sources, the stuck one for %v s", len(oldest), got)
	}
	messages := gather(t, r, "redoxworker_queue_messages")
	sum := 0.0
	for _, m := range messages {
		sum += m.GetGauge().GetValue()
	}
	if len(messages) != MostWaiting+lanes || uint64(sum) != all || messages["send busy-0199"].GetGauge().GetValue() != 200 {
		t.Errorf("%d series, %v of %d messages", len(messages), sum, all)
	}
	if u, a := gather(t, r, "redoxworker_queue_unserved_messages")[""], gather(t, r, "redoxworker_queue_astray_messages")[""]; u.GetGauge().GetValue() != 3 || a.GetGauge().GetValue() != 2 {
		t.Errorf("unserved %v, astray %v", u, a)
	}
	q.Look(Seen{Queue: tally.Queue{At: seen.At}})
	if got := gather(t, r, "redoxworker_source_oldest_seconds"); len(got) != 1 || got[OtherSources].GetGauge().GetValue() != 0 {
		t.Errorf("an empty queue: %v", got)
	}
	q.Lost()
	if n := len(gather(t, r, "redoxworker_queue_oldest_seconds")); n != 0 {
		t.Errorf("%d series while nothing is known", n)
	}
}
