package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
)

// Over TCP: the server restarts while messages are in flight, buffered and being settled.
func TestRun_ServerRestartLosesAndRepeatsNothing(t *testing.T) {
	const ackWait = 6 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	server, js := restartable(t)
	if _, err := (topology.Topology{}).Ensure(ctx, js); err != nil {
		t.Fatal(err)
	}
	const total = 600
	publishSome(ctx, t, js, total)
	far := &workertest.Far{Answer: func(context.Context, outbox.Message, int) (outbox.Answer, error) {
		<-time.After(10 * time.Millisecond) // a far side takes its time
		return outbox.Answer{Status: 200}, nil
	}}
	var settled atomic.Int64
	done := make(chan struct{})
	half := make(chan struct{})
	w, err := worker.New(js, far, worker.Config{Concurrency: 16, AckWait: ackWait, Sources: []worker.Source{{Name: source}},
		Observe: func(e worker.Event) {
			if e.Kind != worker.EventSettled {
				return
			}
			switch settled.Add(1) {
			case total / 4:
				close(half)
			case total:
				close(done)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	stop, cancelRun := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(stop) }()
	<-half
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-ctx.Done():
		t.Errorf("%d of %d settled; status %+v", settled.Load(), total, w.Status())
	}
	cancelRun()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	eachOnce(t, far, total)
}

// restartable is a server over TCP and a client that finds it again.
func restartable(t *testing.T) (*natsdev.Server, jetstream.JetStream) {
	t.Helper()
	server, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown() })
	conn, err := nats.Connect(server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return server, js
}

// publishSome publishes messages, one in ten in order, which waits for an ack wait after a
// restart.
func publishSome(ctx context.Context, t *testing.T, js jetstream.JetStream, total int) {
	t.Helper()
	p, err := outbox.NewPublisher(js, outbox.PublisherConfig{OrderSecret: []byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	for i := range total {
		m := outbox.Message{ID: fmt.Sprint("m", i), Source: source, Body: []byte(`{}`)}
		if i%10 == 0 {
			m.OrderKey = "patient"
		}
		if _, err := p.Publish(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
}

// eachOnce: the far side has seen each message once.
func eachOnce(t *testing.T, far *workertest.Far, total int) {
	t.Helper()
	calls := map[string]int{}
	for _, c := range far.Calls() {
		calls[c.ID]++
	}
	for id, n := range calls {
		if n != 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
	if len(calls) != total {
		t.Errorf("%d messages were sent, want %d", len(calls), total)
	}
}

// A worker whose clock was wrong says that NATS was restarted years from now: nobody waits
// for that.
func TestRestarts_ANoteOfTheFutureHoldsNothingUp(t *testing.T) {
	inBubble(t, func(r *rig) {
		note, err := json.Marshal(map[string]any{"server": r.js.Conn().ConnectedServerId(), "since": time.Now().AddDate(5, 0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		kv, err := r.js.KeyValue(r.Context(), "REDOX_STATE")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Put(r.Context(), "server", note); err != nil {
			t.Fatal(err)
		}
		r.start(worker.Config{})
		r.ordered("m", "patient")
		start := time.Now()
		r.awaitSettled("m")
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}
