package conformance

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Everything is restarted in turn under load, to a new version and in part back to the old one, a server is
// lost, then a volume: what was confirmed to a publisher or committed to the database is taken by Redox,
// and workers and console are ready all the while.
func TestFleet_LosesNothing(t *testing.T) {
	f := newFleet(t)
	f.Cleanup(f.explain)
	f.bin = f.build(old)
	f.workers.open(3)
	f.console.open(1)
	f.startRelay()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.load(ctx) })
	watching, unwatch := context.WithCancel(t.Context())
	running.Go(func() { f.workers.watch(watching) })
	running.Go(func() { f.console.watch(watching) })
	defer running.Wait()
	defer unwatch()
	defer stop()

	f.run(old)
	f.bin = f.build(current)
	for i := range 3 {
		f.workers.roll(i)
	}
	f.console.roll(0)
	f.relay.stop()
	f.startRelay()
	f.run(current)
	f.bin = f.build(old) // one goes back, and stays beside the others
	f.workers.roll(0)
	f.run(old, current)
	for i := range f.servers {
		f.stopServer(i)
		f.startServer(i)
		f.current()
	}
	f.bin = f.build(current)
	f.workers.kill(0) // and a worker at that
	f.stopServer(1)
	f.goesOn("without a server")
	f.must(os.RemoveAll(f.store(1)))
	f.startServer(1)
	f.current()
	f.stopServer(0) // the new one is as good as any
	f.goesOn("with the new volume, without another server")
	f.startServer(0)
	f.current()
	stop()
	f.settled()
	f.looked()
}

// goesOn waits until messages that were published after now are taken.
func (f *fleet) goesOn(when string) {
	f.Helper()
	f.mu.Lock()
	before := len(f.promised)
	f.mu.Unlock()
	f.eventually("messages are taken "+when, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		n := 0
		for _, id := range f.promised[before:] {
			if f.taken[id] > 0 {
				n++
			}
		}
		return n >= 10
	})
}

// operator is somebody who looks at the streams.
func (f *fleet) operator() jetstream.JetStream {
	f.Helper()
	nc, err := nats.Connect(f.url, nats.UserInfo("operator", password("operator")), nats.CustomInboxPrefix("_INBOX_operator"), nats.RootCAs(f.tls.CA), nats.MaxReconnects(-1))
	f.must(err)
	f.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	f.must(err)
	return js
}

// current waits until every stream is whole on three servers, and each server says of itself that it has caught up
// with all of its streams and consumers. What a leader says of the others is not enough: of one that came back
// with an empty volume it remembers for a while how far it was.
func (f *fleet) current() {
	f.Helper()
	js := f.operator()
	f.eventually("every stream is current on three servers", func() bool {
		ctx, cancel := context.WithTimeout(f.Context(), 2*time.Second)
		defer cancel()
		n, list := 0, js.ListStreams(ctx)
		for info := range list.Info() {
			if c := info.Cluster; c == nil || c.Leader == "" || len(c.Replicas) != 2 || !c.Replicas[0].Current || !c.Replicas[1].Current {
				return false
			}
			n++
		}
		return list.Err() == nil && n >= 8 && f.healthy(ctx)
	})
}

// settled waits until nothing is left to do, and holds what was taken against what was promised.
func (f *fleet) settled() {
	f.Helper()
	js := f.operator()
	f.eventually("queue and database are empty", func() bool {
		ctx, cancel := context.WithTimeout(f.Context(), 2*time.Second)
		defer cancel()
		var rows int
		if err := f.db.QueryRowContext(ctx, "SELECT count(*) FROM redox_outbox").Scan(&rows); err != nil || rows > 0 {
			return false
		}
		stream, err := js.Stream(ctx, "REDOX_OUT")
		return err == nil && stream.CachedInfo().State.Msgs == 0
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	var lost []string
	twice := 0
	for _, id := range f.promised {
		switch n := f.taken[id]; {
		case n == 0:
			lost = append(lost, id)
		case n > 1:
			twice++
		}
	}
	f.Logf("%d promised, %d lost, %d taken more than once; no worker was ready for %v at most, no console for %v", len(f.promised), len(lost), twice, f.workers.longest(), f.console.longest())
	if len(lost) > 0 || len(f.promised) < 100 {
		f.Errorf("of %d promised messages %d were lost: %s", len(f.promised), len(lost), strings.Join(lost, " "))
	}
	for what, gap := range map[string]time.Duration{"worker": f.workers.longest(), "console": f.console.longest()} {
		if gap > 10*time.Second { // two looks of the readiness probe, five seconds apart
			f.Errorf("no %s was ready for %v", what, gap)
		}
	}
}
