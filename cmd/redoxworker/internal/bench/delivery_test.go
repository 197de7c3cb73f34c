package bench

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/daemon"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// BenchmarkDeliverEndToEnd is one delivery, all in this process: publish, worker, stand-in
// for Redox, reply. The allocations are those of the servers and of the publisher too.
func BenchmarkDeliverEndToEnd(b *testing.B) {
	for _, size := range []byteSize{1_000, 20_000} {
		b.Run(size.String(), func(b *testing.B) {
			load, replies := deliveryRig(b, int(size))
			if err := load.first(b.Context(), replies); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				reached := replies.await(replies.received() + 1)
				if err := load.conn.PublishMsg(load.message(replies)); err != nil {
					b.Fatal(err)
				}
				if err := within(b.Context(), reached, stepPatience, "no reply"); err != nil {
					b.Fatal(err)
				}
			}
			if n := replies.refused(); n > 0 {
				b.Errorf("%d messages were not delivered", n)
			}
		})
	}
}

// deliveryRig runs the worker as `run` does.
func deliveryRig(b *testing.B, size int) (*loopLoad, *loopReplies) {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	server, err := natsdev.Start(natsdev.Options{Dir: b.TempDir(), Port: -1})
	must(err)
	b.Cleanup(func() { _ = server.Shutdown() })
	api := httptest.NewServer(standAPI(0))
	b.Cleanup(api.Close)
	worker, _, stderr := clitest.App()
	r, err := newRig(worker, sharedKey)
	must(err)
	b.Cleanup(func() { _ = r.end() })
	must(r.connect(b.Context(), server.URL(), topology.Topology{}))
	must(r.configureLoop(standAddresses{NATS: server.URL(), API: api.URL}, 64, 1))
	worker.Globals.ConfigFile = r.config
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- daemon.Run(ctx, worker) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Errorf("%v: %s", err, stderr.String())
		}
	})
	load := &loopLoad{conn: r.conn, js: r.js, body: messageBody(size), sources: 1}
	replies, err := load.listen()
	must(err)
	b.Cleanup(replies.close)
	return load, replies
}

// BenchmarkBench runs the bench command, small; its own figures are the point.
func BenchmarkBench(b *testing.B) {
	for b.Loop() {
		code, stdout, stderr := runBench(b.Context(), b, smallLoop...)
		if code != cli.ExitOK {
			b.Fatalf("exit %d: %s", code, stderr)
		}
		var results []loopResult
		if err := json.Unmarshal([]byte(stdout), &results); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(results[0].Worker.CPU, "worker-cpu-us")
		b.ReportMetric(results[0].Raw.CPU, "raw-cpu-us")
		b.ReportMetric(results[0].Ratio.Throughput, "worker/raw")
	}
	if b.Elapsed() > time.Duration(b.N)*time.Minute {
		b.Error("the bench did not keep to its bounds")
	}
}
