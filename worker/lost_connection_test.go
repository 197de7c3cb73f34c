package worker_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// stalling is a connection to the server that lets nothing come for a while, without an end.
type stalling struct {
	*crashing
	mu    sync.Mutex
	comes chan struct{} // closed when it does again; nil when it does
}

func (s *stalling) InProcessConn() (net.Conn, error) {
	conn, err := s.crashing.InProcessConn()
	return stalled{conn, s}, err
}

func (s *stalling) stall() (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	comes := make(chan struct{})
	s.comes = comes
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.comes = nil
		close(comes)
	}
}

type stalled struct {
	net.Conn
	by *stalling
}

func (s stalled) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.by.mu.Lock()
	comes := s.by.comes
	s.by.mu.Unlock()
	if comes != nil {
		<-comes
	}
	return n, err
}

// After a reconnect, or when it missed a heartbeat, the client pulls a whole window although
// another may be on its way or in its buffer. What comes so lies there for as long as the
// slots are taken, and then is not new: another worker may have settled it.
func TestGuarantee_WhatCameWithASecondWindowIsNotSentAgain(t *testing.T) {
	t.Run("reconnect", func(t *testing.T) {
		workertest.Bubble(t, func(t *testing.T, _ jetstream.JetStream) {
			c := &cable{crashing: &crashing{T: t}}
			c.start(t.TempDir())
			defer c.stop()
			secondWindow(t, c.connectBy(c), c.connect(), func(publish func()) {
				publish()
				bubble.Sleep(time.Second)
				c.plug(false)
				bubble.Sleep(time.Second)
				c.plug(true)
			})
		})
	})
	t.Run("missed heartbeat", func(t *testing.T) {
		workertest.Bubble(t, func(t *testing.T, _ jetstream.JetStream) {
			s := &stalling{crashing: &crashing{T: t}}
			s.start(t.TempDir())
			defer s.stop()
			secondWindow(t, s.connectBy(s), s.connect(), func(publish func()) {
				bubble.Sleep(500 * time.Millisecond) // a pull has just begun
				end := s.stall()
				bubble.Sleep(3 * time.Second)
				publish()
				end()
			})
		})
	})
}

// secondWindow runs a worker that can have one message in flight, and another one once
// trouble was made; no message may be sent twice.
func secondWindow(t *testing.T, js, other jetstream.JetStream, trouble func(publish func())) {
	far := &workertest.Far{Answer: func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
		if m.ID == "m0" {
			bubble.Sleep(time.Minute)
		}
		return outbox.Answer{Status: 200}, nil
	}}
	one, two := &rig{T: t, js: js, far: far}, &rig{T: t, js: other, far: far}
	defer other.Conn().Close()
	defer js.Conn().Close()
	if _, err := (topology.Topology{}).Ensure(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	one.start(worker.Config{ID: "one", Concurrency: 1})
	defer one.stop()
	defer two.stop()
	ids := []string{"m0", "m1", "m2", "m3"}
	trouble(func() {
		for _, id := range ids {
			two.publish(outbox.Message{ID: id})
		}
	})
	bubble.Sleep(time.Second)
	two.start(worker.Config{ID: "two"})
	two.until("the queue is empty", func() bool { return two.stored("REDOX_OUT") == 0 })
	bubble.Sleep(2 * time.Minute)
	for _, id := range ids {
		if n := len(far.Of(id)); n != 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
}
