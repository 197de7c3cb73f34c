package outbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// newCluster starts three servers and returns a client of the first.
func newCluster(t *testing.T) topologyRig {
	t.Helper()
	ports, err := natsdev.FreePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	var routes []string
	for _, p := range ports {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", p))
	}
	servers := make([]*natsdev.Server, len(ports))
	var wg sync.WaitGroup
	for i, p := range ports {
		dir := t.TempDir()
		file := filepath.Join(dir, "nats.conf")
		conf := fmt.Sprintf("server_name: n%d\njetstream {}\ncluster {name: c, listen: \"127.0.0.1:%d\", routes: [%s]}\n", i, p, strings.Join(routes, ","))
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			s, err := natsdev.Start(natsdev.Options{ConfigFile: file, Dir: filepath.Join(dir, "data"), Port: -1})
			if err != nil {
				t.Error(err)
				return
			}
			servers[i] = s
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, s := range servers {
			if s != nil {
				_ = s.Shutdown()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	r := topologyRig{t: t, server: servers[0]}
	r.js = r.connect()
	r.awaitPeers()
	return r
}

// awaitPeers creates a replicated stream as soon as the cluster lets it.
func (r topologyRig) awaitPeers() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		try, stop := context.WithTimeout(ctx, time.Second)
		_, err := r.js.CreateOrUpdateStream(try, jetstream.StreamConfig{Name: "READY", Replicas: 3})
		stop()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("no cluster: %v", err)
		case <-tick.C:
		}
	}
}

func TestEnsure_OnACluster(t *testing.T) {
	t.Parallel()
	r := newCluster(t)
	one, three := small(), small()
	three.Replicas = 3
	r.ensure(one)
	r.settled(one)
	if n := len(withAction(r.ensure(three), Update)); n != 7 {
		t.Errorf("%d streams got more replicas, want all 7", n)
	}
	r.settled(three)
	refused, err := one.Ensure(r.ctx(), r.js)
	if err == nil || len(withAction(refused, Refuse)) != 7 {
		t.Errorf("fewer replicas: %v, %v", refused, err)
	}
	five := small()
	five.Replicas = 5
	if _, err := five.Ensure(r.ctx(), r.js); err == nil || !strings.Contains(err.Error(), "lower the replicas") {
		t.Errorf("more replicas than servers: %v", err)
	}
	r.settled(three)

	fresh := Topology{Prefix: "fresh", Replicas: 3}
	var wg sync.WaitGroup
	for range 3 {
		js := r.connect()
		wg.Go(func() {
			if _, err := fresh.Ensure(r.t.Context(), js); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r.settled(fresh)
}
