package outbox_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// unplugged is a connection to the server that is lost for a while after the first publish,
// and its confirmation with it.
type unplugged struct {
	jetstream.JetStream
	server *natsdev.Server
	lasts  time.Duration

	mu   sync.Mutex
	out  bool
	last net.Conn
	done bool
}

func (u *unplugged) InProcessConn() (net.Conn, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.out {
		return nil, errors.New("unplugged")
	}
	conn, err := u.server.InProcessConn()
	u.last = conn
	return conn, err
}

func (u *unplugged) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := u.JetStream.PublishMsg(ctx, m, o...)
	if u.done || err != nil {
		return ack, err
	}
	u.mu.Lock()
	u.out, u.done = true, true
	_ = u.last.Close()
	u.mu.Unlock()
	time.AfterFunc(u.lasts, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.out = false
	})
	return nil, context.DeadlineExceeded
}

// What may be stored is not published again when the queue may have forgotten its id: not
// after a connection that was lost for that long either.
func TestPublish_StoresOnceAfterALongLossOfTheConnection(t *testing.T) {
	for lasts, stored := range map[time.Duration]bool{5 * time.Minute: true, 20 * time.Minute: false} {
		workertest.Bubble(t, func(t *testing.T, _ jetstream.JetStream) {
			server, err := natsdev.Start(natsdev.Options{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = server.Shutdown() }()
			u := &unplugged{server: server, lasts: lasts}
			conn, err := nats.Connect("", nats.InProcessServer(u), nats.MaxReconnects(-1))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if u.JetStream, err = jetstream.New(conn); err != nil {
				t.Fatal(err)
			}
			if _, err := (topology.Topology{}).Ensure(t.Context(), u.JetStream); err != nil {
				t.Fatal(err)
			}
			p, err := outbox.NewPublisher(u, outbox.PublisherConfig{Timeout: -1})
			if err != nil {
				t.Fatal(err)
			}
			receipt, err := p.Publish(t.Context(), outbox.Message{Source: "clinic-a", Body: []byte(`{}`)})
			if (err == nil) != stored || receipt.ID == "" {
				t.Errorf("after %v: receipt %+v, %v", lasts, receipt, err)
			}
			bubble.Sleep(time.Minute)
			queue, err := u.Stream(t.Context(), "REDOX_OUT")
			if err != nil {
				t.Fatal(err)
			}
			if n := queue.CachedInfo().State.Msgs; n != 1 {
				t.Errorf("after %v: %d messages are stored, want 1", lasts, n)
			}
		})
	}
}
