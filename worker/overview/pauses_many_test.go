package overview

import (
	"fmt"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
)

// Of thousands of backlogs and pauses, of keys as well, each is looked at once: an overview is taken every second.
func TestGather_ThousandsOfPauses(t *testing.T) {
	t.Parallel()
	const n, paused = 5000, 1000
	x := &gathering{Gatherer: &Gatherer{}, askedAll: true, served: map[string]map[string][]string{"d": {}}}
	x.view.Queue = &Queue{Messages: 2 * n}
	var keys []worker.Paused
	for i := range n {
		source := fmt.Sprintf("clinic-%04d", i)
		keys = append(keys, worker.Paused{Scope: "key:" + source})
		x.served["d"][source] = []string{"key:" + source, "host:api"}
		x.view.Backlogs = append(x.view.Backlogs, Backlog{Source: source, Lane: contract.LaneSend, Messages: 2})
		x.view.Keys = append(x.view.Keys, Key{Status: auth.Status{Name: source}, Trouble: 3, Sources: 1, Workers: 3})
		if i < paused {
			x.view.Pauses = append(x.view.Pauses, Pause{Paused: worker.Paused{Operator: true, Left: -1, Scope: "dest:" + source + ":big"}})
		}
	}
	for i := range 3 {
		x.view.Workers = append(x.view.Workers, Worker{ID: fmt.Sprint("w-", i), Ready: true, SourcesDigest: "d", Status: worker.Status{Pauses: keys}})
	}
	x.view.Workers[2].Status.Pauses = keys[1:] // it has a token for the first
	began := time.Now()
	x.explainBacklogs()
	x.judge()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	for _, b := range x.view.Backlogs {
		if want := map[bool]State{true: Retrying, false: NoToken}[b.Source == "clinic-0000"]; b.Why.State != want {
			t.Fatalf("%+v", b)
		}
	}
	if p := x.view.Pauses; len(p) != n+paused || p[paused].Worker != "several" || len(x.view.Needs) != n+1 {
		t.Errorf("%d pauses, %d needs", len(p), len(x.view.Needs))
	}
}
