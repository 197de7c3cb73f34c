package lease

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// liveServer is a connection to a server in real time, for tests of what lies inside the
// package.
func liveServer(t *testing.T) *nats.Conn {
	t.Helper()
	server, err := natsdev.Start(natsdev.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown() })
	conn, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// A process that was suspended before it sends finds out when it asks, without a beat of
// the keeper.
func TestContext_SaysAtOnceThatTheLeaseHasEnded(t *testing.T) {
	conn := liveServer(t)
	const ackWait = time.Hour
	k := NewKeeper(conn, ackWait, NewRestarts(conn, ackWait))
	for sequence, c := range []struct {
		delivered time.Time
		want      error
	}{
		{time.Now(), nil},
		{time.Now().Add(-ackWait), ErrLost},
	} {
		parent, cancel := context.WithCancelCause(t.Context())
		ctx := &Context{Context: parent, Keeper: k, Lease: Lease{Key: Key{Sequence: uint64(sequence)}, Reply: "ack", Cancel: cancel}}
		if !k.Hold(&ctx.Lease, c.delivered, false) {
			t.Fatal("it is held already")
		}
		if err := ctx.Err(); (err == nil) != (c.want == nil) || !errors.Is(context.Cause(ctx), c.want) {
			t.Errorf("delivered %v ago: %v, cause %v; want cause %v", time.Since(c.delivered), err, context.Cause(ctx), c.want)
		}
		cancel(nil)
	}
}

// A confirmed mark renews the lease by the clock that nobody sets: were the other one set
// back, the lease would last that much longer, and the message be with two workers.
func TestKeeper_RenewsByTheMonotonicClock(t *testing.T) {
	conn := liveServer(t)
	marks, err := conn.SubscribeSync("ack")
	if err != nil {
		t.Fatal(err)
	}
	const ackWait = time.Hour
	k := NewKeeper(conn, ackWait, NewRestarts(conn, ackWait))
	l := &Lease{Key: Key{Sequence: 1}, Reply: "ack", Cancel: func(error) {}}
	now := time.Now()
	if !k.Hold(l, now, false) {
		t.Fatal("it is held already")
	}
	var sent []*nats.Msg
	for n := range 2 {
		k.beat(now.Add(time.Duration(n+1) * ackWait * 2 / 5))
		mark, err := marks.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, mark)
	}
	for n, mark := range sent {
		k.confirmed(&nats.Msg{Subject: mark.Reply})
		want := now.Add(time.Duration(n+1)*ackWait*2/5 + ackWait)
		if !l.expires.Equal(want) || l.expires == l.expires.Round(0) {
			t.Errorf("mark %d: the lease lasts until %v, want %v, by the monotonic clock", n+1, l.expires, want)
		}
	}
	before := l.expires
	k.confirmed(sent[0])
	if l.expires != before {
		t.Error("a confirmation that came late has shortened the lease")
	}
}
