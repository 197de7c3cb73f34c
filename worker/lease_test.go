package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// In a process that was suspended the count of a window says nothing.
func TestKeeper_TrustsNoWindowAfterAGap(t *testing.T) {
	k := &keeper{ackWait: 30 * time.Second}
	now := time.Now()
	for _, c := range []struct{ since, alive, want time.Duration }{
		{since: -time.Second, alive: -2 * time.Second, want: -time.Second},
		{since: -4 * time.Second, alive: -2 * time.Second, want: -4 * time.Second},
		{since: -time.Second, alive: -40 * time.Second, want: -40 * time.Second},
		{since: -50 * time.Second, alive: -40 * time.Second, want: -50 * time.Second},
	} {
		if got := k.trust(now.Add(c.since), now.Add(c.alive)); !got.Equal(now.Add(c.want)) {
			t.Errorf("%v with the process alive %v: trusted as %v, want %v", c.since, c.alive, got.Sub(now), c.want)
		}
	}
}

// A process that was suspended before it sends finds out when it asks, without a beat of
// the keeper.
func TestLeasedContext_SaysAtOnceThatTheLeaseHasEnded(t *testing.T) {
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
	const ackWait = time.Hour
	k := newKeeper(conn, ackWait, newRestarts(conn, ackWait))
	for sequence, c := range []struct {
		delivered time.Time
		want      error
	}{
		{time.Now(), nil},
		{time.Now().Add(-ackWait), ErrLeaseLost},
	} {
		parent, cancel := context.WithCancelCause(t.Context())
		ctx := &leasedContext{Context: parent, keeper: k, lease: lease{sequence: uint64(sequence), subject: "ack", cancel: cancel}}
		if !k.hold(&ctx.lease, c.delivered, false) {
			t.Fatal("it is held already")
		}
		if err := ctx.Err(); (err == nil) != (c.want == nil) || !errors.Is(context.Cause(ctx), c.want) {
			t.Errorf("delivered %v ago: %v, cause %v; want cause %v", time.Since(c.delivered), err, context.Cause(ctx), c.want)
		}
		cancel(nil)
	}
}
