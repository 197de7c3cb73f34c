package quota

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// inBubble runs a Governor by itself in a bubble.
func inBubble(t *testing.T, cfg Config, f func(t *testing.T, g *Governor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); g.RunAlone(ctx) }()
		synctest.Wait()
		f(t, g)
		cancel()
		<-ended
	})
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Requests: -1, Per: time.Millisecond, Reserve: 1, Group: "no name"})
	for _, field := range []string{"Requests: -1", "Per: 1ms", "Reserve: 1", `Group: "no name"`} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

func TestAcquire_CancelledWaiterLosesNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, Config{Requests: 2, Per: 10 * time.Second}, func(t *testing.T, g *Governor) {
		for range 2 {
			done, err := g.Acquire(t.Context(), "a", contract.LaneRequest)
			if err != nil {
				t.Fatal(err)
			}
			done(true)
		}
		cause := errors.New("nobody waits any more")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if _, err := g.Acquire(ctx, "a", contract.LaneSend); !errors.Is(err, cause) {
			t.Errorf("the error is %v, want the cause", err)
		}
		if s := g.Status(); s.Waiting != 0 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
		start := time.Now()
		done, err := g.Acquire(t.Context(), "a", contract.LaneSend)
		if err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited < 8*time.Second || waited > 10*time.Second {
			t.Errorf("waited %v for the end of the window", waited)
		}
		done(false)
		// A grant that was not used serves the next at once.
		start = time.Now()
		if done, err = g.Acquire(t.Context(), "a", contract.LaneSend); err != nil || time.Since(start) > 0 {
			t.Errorf("an unused grant was not passed on: %v, %v", time.Since(start), err)
		}
		done(true)
	})
}

func TestTransport_CountsUntilTheAnswerIsRead(t *testing.T) {
	t.Parallel()
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "token") }))
	t.Cleanup(far.Close)
	g, err := New(Config{Requests: 100, Per: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); g.RunAlone(ctx) }()
	defer func() { cancel(); <-ended }()
	client := &http.Client{Transport: g.Transport(far.Client().Transport)}
	response, err := client.Get(far.URL)
	if err != nil {
		t.Fatal(err)
	}
	if n := g.Status().InFlight; n != 1 {
		t.Errorf("%d in flight while the answer is read", n)
	}
	_ = response.Body.Close()
	if n := g.Status().InFlight; n != 0 {
		t.Errorf("%d in flight after the answer was read", n)
	}
	far.Close()
	if _, err := client.Get(far.URL); err == nil || g.Status().InFlight != 0 {
		t.Errorf("a request that failed: %v, %d in flight", err, g.Status().InFlight)
	}
}

// On a real server: two groups, a worker that leaves, and what others read of it.
func TestRun_OnNATS(t *testing.T) {
	t.Parallel()
	server, err := natsdev.Start(natsdev.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Shutdown() }()
	conn, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (topology.Topology{}).Ensure(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	for _, group := range []string{"one", "two"} {
		g, err := New(Config{Requests: 1000, Per: time.Minute, Group: group, Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"group": group}, registry)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); g.Run(ctx, js) }()
		for range 7 {
			done, err := g.Acquire(t.Context(), "a", contract.LaneSend)
			if err != nil {
				t.Fatal(err)
			}
			done(true)
		}
		cancel()
		<-ended
		usage, known, err := Read(t.Context(), js, "", group)
		// What was allotted and not used is free again by the moment from which it might have been.
		if err != nil || !known || usage.Used < 7 || usage.Used > 7+1000/30+1 || usage.Used+usage.Left != 1000 || usage.Workers != 0 {
			t.Errorf("group %s: %+v %v %v, want 7 used, little spoken for, and no worker left", group, usage, known, err)
		}
	}
	if _, known, err := Read(t.Context(), js, "", "three"); known || err != nil {
		t.Errorf("a group that nobody uses: %v %v", known, err)
	}
	if families, err := registry.Gather(); err != nil || len(families) < 5 {
		t.Errorf("%d metrics, %v", len(families), err)
	}
}

func BenchmarkAcquire(b *testing.B) {
	g, err := New(Config{Requests: maxRequests, Per: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	g.clock.measure(now, now, now, time.Second)
	g.held, g.tenure.until = held{{at: 0, n: 1 << 62}}, 1<<62
	b.ReportAllocs()
	for b.Loop() {
		done, err := g.Acquire(b.Context(), "a", contract.LaneSend)
		if err != nil {
			b.Fatal(err)
		}
		done(true)
	}
}

func BenchmarkTurn(b *testing.B) {
	for _, requests := range []int{50, 7500} {
		b.Run(fmt.Sprint(requests), func(b *testing.B) {
			g, err := New(Config{Requests: requests, Per: 5 * time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			s := &memoryStore{}
			for b.Loop() {
				if _, err := g.takeTurn(b.Context(), s, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
