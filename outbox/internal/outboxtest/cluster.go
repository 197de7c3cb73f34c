package outboxtest

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

// Cluster starts three servers and returns a client of the first.
func Cluster(t *testing.T) Rig {
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
	r := Rig{T: t, Server: servers[0]}
	r.JS = r.Connect()
	r.awaitPeers()
	return r
}

// awaitPeers creates a replicated stream as soon as the cluster lets it.
func (r Rig) awaitPeers() {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.T.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		try, stop := context.WithTimeout(ctx, time.Second)
		_, err := r.JS.CreateOrUpdateStream(try, jetstream.StreamConfig{Name: "READY", Replicas: 3})
		stop()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			r.T.Fatalf("no cluster: %v", err)
		case <-tick.C:
		}
	}
}
