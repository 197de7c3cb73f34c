package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// crowd are clinic-a and n others.
func crowd(n int) []string {
	sources := []string{"clinic-a"}
	for i := range n {
		sources = append(sources, fmt.Sprintf("clinic-%04d", i))
	}
	return sources
}

// gatewayOf runs a gateway for clinic-a, whose sources the test sets.
func gatewayOf(t *testing.T, r outboxtest.Rig, cfg Config) *Gateway {
	t.Helper()
	js := r.Connect()
	cfg.Sources = []string{"clinic-a"}
	g, err := New(js.Conn(), js, cfg)
	if err != nil {
		t.Fatal(err)
	}
	runGateway(t, g)
	return g
}

func runGateway(t *testing.T, g *Gateway) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	for !g.Serving() {
		runtime.Gosched()
	}
}

// TestGateway_SetSourcesWhileRequestsCome: a source that stays answers every request, one that
// comes and goes stores what it has given a receipt for, and nothing else.
func TestGateway_SetSourcesWhileRequestsCome(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	g := gatewayOf(t, r, Config{Concurrency: 4})
	client := r.Connect().Conn()
	var setting, asking sync.WaitGroup
	var stop atomic.Bool
	setting.Go(func() {
		sets := [][]string{{"clinic-a"}, {"clinic-a", "clinic-b"}, append(crowd(5_000), "clinic-b")}
		for n := 0; !stop.Load(); n++ {
			if err := g.SetSources(sets[n%len(sets)]); err != nil {
				t.Error(err)
			}
		}
	})
	var receipts, absent atomic.Int64
	for c := range 4 {
		source := []string{"clinic-a", "clinic-b"}[c%2]
		asking.Go(func() {
			for i := range 40 {
				in := &nats.Msg{Subject: g.config.Prefix.GatewaySubject(source, contract.LaneSend), Header: nats.Header{contract.HeaderID: {fmt.Sprintf("%s-%d-%d", source, c, i)}}}
				answer, err := client.RequestMsg(in, 2*time.Minute)
				switch {
				case errors.Is(err, nats.ErrNoResponders) && source == "clinic-b":
					absent.Add(1)
				case err != nil:
					t.Errorf("%s: %v", source, err)
				case gatewayError(answer) != nil:
					t.Errorf("%s: %v", source, gatewayError(answer))
				default:
					receipts.Add(1)
				}
			}
		})
	}
	asking.Wait()
	stop.Store(true)
	setting.Wait()
	if n := int64(r.Stream("REDOX_OUT").State.Msgs); n != receipts.Load() || n+absent.Load() != 160 {
		t.Errorf("%d messages stored, %d receipts, %d without a gateway", n, receipts.Load(), absent.Load())
	}
	t.Logf("%d receipts, %d found no gateway", receipts.Load(), absent.Load())
}

func TestGateway_SetSourcesIsADifference(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	g := gatewayOf(t, r, Config{})
	client := r.Connect().Conn()
	before := g.session.subscriptions["clinic-a"]
	for _, n := range []int{5_000, 1, 0} {
		if err := g.SetSources(append(crowd(n), "clinic-a")); err != nil {
			t.Fatal(err)
		}
		if now := g.session.subscriptions["clinic-a"]; now != before {
			t.Errorf("%d others: clinic-a was subscribed anew", n)
		}
		_, err := client.Request("redox.gateway.clinic-0000.send", []byte("{}"), time.Minute)
		if gone := errors.Is(err, nats.ErrNoResponders); gone != (n == 0) {
			t.Errorf("%d others: clinic-0000: %v", n, err)
		}
		var status status
		if err := json.Unmarshal(askGateway(t, client, "redox.gateway.status", nil).Data, &status); err != nil || status.Sources != n+1 {
			t.Errorf("status %+v, %v", status, err)
		}
	}
	if err := g.SetSources([]string{"clinic-b", "Clinic"}); err == nil || !strings.Contains(err.Error(), "Clinic") {
		t.Errorf("a name that no source has: %v", err)
	}
	if subs := maps.Clone(g.session.subscriptions); len(subs) != 1 || subs["clinic-a"] != before {
		t.Errorf("after a refused set: %v", subs)
	}
}

func TestGateway_SetSourcesBeforeRun(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	g, err := New(r.JS.Conn(), r.JS, Config{Sources: []string{"clinic-a"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.SetSources([]string{"clinic-b"}); err != nil {
		t.Fatal(err)
	}
	runGateway(t, g)
	if err := g.Run(t.Context()); err == nil {
		t.Error("a second Run at the same time: no error")
	}
	client := r.Connect().Conn()
	askGateway(t, client, "redox.gateway.clinic-b.send", nil)
	if _, err := client.Request("redox.gateway.clinic-a.send", nil, time.Minute); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("what New was given is served: %v", err)
	}
}

// TestGateway_ASourceThatMayNotBeServed is named, and stops no other.
func TestGateway_ASourceThatMayNotBeServed(t *testing.T) {
	t.Parallel()
	r := outboxtest.Configured(t, `
jetstream {}
authorization { users: [
  {user: a, password: a, permissions: {publish: ">", subscribe: ["_INBOX.>", "$SRV.>", "redox.gateway.status", "redox.gateway.clinic-a.*"]}}
  {user: root, password: root}
] }`, nats.UserInfo("root", "root"))
	if err := outboxtest.Provision(r.Ctx(), r.JS, streams.Set{Names: contract.Prefix("")}); err != nil {
		t.Fatal(err)
	}
	js := r.Connect(nats.UserInfo("a", "a"))
	g, err := New(js.Conn(), js, Config{Sources: []string{"clinic-a"}})
	if err != nil {
		t.Fatal(err)
	}
	runGateway(t, g)
	if err := g.SetSources([]string{"clinic-a", "clinic-b"}); !errors.Is(err, outbox.ErrPermission) || !strings.Contains(err.Error(), "clinic-b") {
		t.Errorf("err = %v, want that clinic-b may not be served", err)
	}
	if err := g.SetSources([]string{"clinic-a", "clinic-b"}); err != nil {
		t.Errorf("nothing came, and yet: %v", err)
	}
	root := r.Connect(nats.UserInfo("root", "root")).Conn()
	if gatewayError(askGateway(t, root, "redox.gateway.clinic-a.send", nil)) != nil {
		t.Error("clinic-a is not served")
	}
	if err := g.Refused(); !errors.Is(err, outbox.ErrPermission) || !strings.Contains(err.Error(), "clinic-b") {
		t.Errorf("Refused: %v", err)
	}
	if err := g.SetSources([]string{"clinic-a"}); err != nil || g.Refused() != nil {
		t.Errorf("clinic-b is gone: %v, %v", err, g.Refused())
	}

	// The same at the start.
	js = r.Connect(nats.UserInfo("a", "a"))
	if g, err = New(js.Conn(), js, Config{Sources: []string{"clinic-0", "clinic-a"}}); err != nil {
		t.Fatal(err)
	}
	runGateway(t, g)
	if gatewayError(askGateway(t, root, "redox.gateway.clinic-a.send", nil)) != nil {
		t.Error("clinic-a is not served beside one that may not be")
	}
	if err := g.Refused(); !errors.Is(err, outbox.ErrPermission) || !strings.Contains(err.Error(), "clinic-0") {
		t.Errorf("Refused at the start: %v", err)
	}
}

// TestGateway_AnIdleSourceCostsNoGoroutine is not parallel: it counts all there are.
func TestGateway_AnIdleSourceCostsNoGoroutine(t *testing.T) {
	r := provisioned(t)
	g := gatewayOf(t, r, Config{})
	before := runtime.NumGoroutine()
	if err := g.SetSources(crowd(5_000)); err != nil {
		t.Fatal(err)
	}
	if more := runtime.NumGoroutine() - before; more > 50 {
		t.Errorf("%d goroutines for 5000 idle sources", more)
	}
}

// BenchmarkGateway_SetSources takes 5,000 sources up and leaves them again.
func BenchmarkGateway_SetSources(b *testing.B) {
	s, err := natsdev.Start(natsdev.Options{Dir: b.TempDir(), Port: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Shutdown() }()
	nc, err := s.Connect()
	if err != nil {
		b.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	g, err := New(js.Conn(), js, Config{Sources: []string{"clinic-a"}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	defer func() {
		cancel()
		<-done
		nc.Close()
	}()
	for !g.Serving() {
		runtime.Gosched()
	}
	for b.Loop() {
		for _, n := range []int{5_000, 0} {
			if err := g.SetSources(crowd(n)); err != nil {
				b.Fatal(err)
			}
		}
	}
}
