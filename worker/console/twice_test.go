package console_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// Two operators who replay the same dead letters at once send each of them once.
func TestConsole_TwoReplayTheSame(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bury(0, 60, "clinic-a", "lab-1")
	r.get("otto", "/", "") // until the console runs
	var at sync.WaitGroup
	jobs := make([]string, 3)
	for i := range jobs {
		at.Go(func() {
			got := r.post("otto", "/replays", "", "action", "replay", "all", "1", "through", "60", "count", "60", "rate", "0", "reason", "x")
			if got.status != http.StatusSeeOther && got.status != http.StatusConflict {
				t.Errorf("%d\n%s", got.status, got.body)
			}
			jobs[i] = got.header.Get("Location")
		})
	}
	at.Wait()
	replayed := 0
	for _, job := range jobs {
		if job != "" {
			replayed += r.await(job).Outcomes[dlq.Replayed]
		}
	}
	stream, err := r.js.Stream(t.Context(), "REDOX_OUT")
	must(t, err)
	if n := stream.CachedInfo().State.Msgs; replayed != 60 || n != 60 {
		t.Errorf("%d were replayed, %d are in the queue", replayed, n)
	}
	if left := r.get("otto", "/dead", asJSON); strings.TrimSpace(left.body) != "" {
		t.Errorf("left: %s", left.body)
	}
}
