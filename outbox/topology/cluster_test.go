package topology

import (
	"strings"
	"sync"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

func TestEnsure_OnACluster(t *testing.T) {
	t.Parallel()
	r := rig{outboxtest.Cluster(t)}
	one, three := small(), small()
	three.Replicas = 3
	r.ensure(one)
	r.settled(one)
	if n := len(withAction(r.ensure(three), Update)); n != 8 {
		t.Errorf("%d streams got more replicas, want all 8", n)
	}
	r.settled(three)
	refused, err := one.Ensure(r.Ctx(), r.JS)
	if err == nil || len(withAction(refused, Refuse)) != 8 {
		t.Errorf("fewer replicas: %v, %v", refused, err)
	}
	five := small()
	five.Replicas = 5
	if _, err := five.Ensure(r.Ctx(), r.JS); err == nil || !strings.Contains(err.Error(), "lower the replicas") {
		t.Errorf("more replicas than servers: %v", err)
	}
	r.settled(three)

	fresh := Topology{Prefix: "fresh", Replicas: 3}
	var wg sync.WaitGroup
	for range 3 {
		js := r.Connect()
		wg.Go(func() {
			if _, err := fresh.Ensure(r.T.Context(), js); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r.settled(fresh)
}
