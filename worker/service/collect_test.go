package service

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// Two workers: an orphan goes when it is old enough, once; what is named stays.
func TestCollect_OneWorkerOfAFleetAtATime(t *testing.T) {
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := (topology.Topology{}).Ensure(ctx, js); err != nil {
			t.Fatal(err)
		}
		c := config.Defaults()
		log := &workertest.Output{}
		var fleet sync.WaitGroup
		for range 2 {
			s := Service{config: &c, log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
			fleet.Go(func() { s.collect(ctx, js) })
		}
		bodies := outbox.NewBodies(js, "")
		for _, name := range []string{"clinic-a/orphan", "clinic-a/named"} {
			if err := bodies.Put(ctx, name, bytes.Repeat([]byte("x"), 300_000)); err != nil {
				t.Fatal(err)
			}
		}
		named := &nats.Msg{Subject: "redox.out.clinic-a.send", Header: nats.Header{contract.HeaderBodyObject: {"clinic-a/named"}}}
		if _, err := js.PublishMsg(ctx, named); err != nil {
			t.Fatal(err)
		}
		has := func(name string) bool { _, err := bodies.Get(ctx, name, -1); return err == nil }
		bubble.Sleep(23 * time.Hour)
		if !has("clinic-a/orphan") {
			t.Error("the orphan went too early")
		}
		if runs := strings.Count(log.String(), `"removed":`); runs < 12 || runs > 24 {
			t.Errorf("%d runs in 23 hours", runs)
		}
		bubble.Sleep(4 * time.Hour)
		if has("clinic-a/orphan") || !has("clinic-a/named") {
			t.Errorf("after 27 hours there is the orphan: %v, what is named: %v", has("clinic-a/orphan"), has("clinic-a/named"))
		}
		if n := strings.Count(log.String(), `"removed":1`); n != 1 || strings.Contains(log.String(), "WARN") {
			t.Errorf("it was removed %d times: %s", n, log.String())
		}
		cancel()
		fleet.Wait()
	})
}

// Where the collecting fails, the log says why, and it goes on.
func TestCollect_FailsAndGoesOn(t *testing.T) {
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		ctx, cancel := context.WithCancel(t.Context())
		c := config.Defaults()
		log := &workertest.Output{}
		s := Service{config: &c, log: slog.New(slog.NewTextHandler(log, nil))}
		done := make(chan struct{})
		go func() { defer close(done); s.collect(ctx, js) }()
		bubble.Sleep(time.Hour)
		if !strings.Contains(log.String(), "level=WARN") {
			t.Errorf("nothing is provisioned, and the log says %q", log.String())
		}
		if _, err := (topology.Topology{}).Ensure(ctx, js); err != nil {
			t.Fatal(err)
		}
		if err := outbox.NewBodies(js, "").Put(ctx, "clinic-a/orphan", []byte("x")); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(26 * time.Hour)
		if !strings.Contains(log.String(), "removed=1") {
			t.Error(log.String())
		}
		cancel()
		<-done
	})
}
