package dlq

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// On replicated streams a lost race has another code, and replicas lag behind: three
// operators, each on a server of its own choice, replay the same at once, two of them after
// one that was killed.
func TestReplay_OnACluster(t *testing.T) {
	t.Parallel()
	r := outboxtest.Cluster(t)
	r.Provision(streams.Set{Names: contract.Prefix(""), Replicas: 3})
	g := graveyard{r, lettersOf(r)}
	const n = 60
	g.buryMany(n)
	token := strings.Repeat("f", 32)
	for i := range 20 {
		g.bury(orderedLetter(fmt.Sprintf("o-%02d", i), token, uint64(1000+i)))
	}
	g.crashing("published", 25)
	g.replayUntilCrash(ReplayOptions{})
	var all sync.WaitGroup
	for range 3 {
		d := lettersOf(r)
		s := g.selected(Query{})
		all.Go(func() {
			for h, err := range d.Replay(r.Ctx(), s, ReplayOptions{}) {
				if err != nil || !h.Outcome.Removed() {
					t.Errorf("%+v, %v", h, err)
				}
			}
		})
	}
	all.Wait()
	count, last := map[string]int{}, ""
	for _, m := range g.Queued() {
		id := idOf(m.Header)
		if count[id]++; count[id] > 1 {
			t.Errorf("%s was published %d times", id, count[id])
		}
		if wire.First(m.Header, contract.HeaderOrderToken) != "" {
			if id <= last {
				t.Errorf("%s comes after %s", id, last)
			}
			last = id
		}
	}
	if len(count) != n+20 {
		t.Errorf("%d messages, want %d", len(count), n+20)
	}
	g.left(0)
}
