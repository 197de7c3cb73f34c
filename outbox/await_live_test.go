package outbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// TestAwait_OverARestart: the reply is stored while this caller, and the server, are away.
func TestAwait_OverARestart(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	type result struct {
		reply Reply
		err   error
	}
	done := make(chan result, 1)
	go func() {
		reply, err := p.Await(r.ctx(), "redox.reply.clinic-a.x")
		done <- result{reply, err}
	}()
	if err := r.server.Restart(); err != nil {
		t.Fatal(err)
	}
	other := r.connect()
	msg := Reply{MessageID: "x", Settlement: Delivered, Body: []byte("late")}.Encode("redox.reply.clinic-a.x")
	if _, err := other.PublishMsg(r.ctx(), msg); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.err != nil || string(got.reply.Body) != "late" {
		t.Errorf("reply %+v, %v", got.reply, got.err)
	}
}

func TestAwait_DurableReplyIsStoredOnce(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	msg := Reply{MessageID: "x", Settlement: Held, Error: "unknown outcome"}.Encode("redox.reply.clinic-a.x")
	for i := range 2 {
		ack, err := r.js.PublishMsg(r.ctx(), msg)
		if err != nil || ack.Duplicate != (i == 1) {
			t.Errorf("write %d: %+v, %v", i, ack, err)
		}
	}
}

// TestAwait_LeastRights: a publisher reads its own replies with the rights of its own
// subjects only, and hears by name what it may not.
func TestAwait_LeastRights(t *testing.T) {
	t.Parallel()
	r := configured(t, `jetstream: enabled
		accounts { A { jetstream: enabled, users: [
		{user: op, password: p}, {user: a, password: p, permissions: {
			publish: ["redox.out.clinic-a.>", "$JS.API.DIRECT.GET.REDOX_REPLIES.redox.reply.clinic-a.>"],
			subscribe: ["_INBOX.>", "redox.reply.clinic-a.>"]}} ] } }`,
		nats.UserInfo("op", "p"))
	r.ensure(Topology{Sources: []string{"clinic-a", "clinic-b"}})
	for _, source := range []string{"clinic-a", "clinic-b"} {
		if _, err := r.js.PublishMsg(r.ctx(), Reply{MessageID: "x", Settlement: Delivered}.Encode("redox.reply."+source+".x")); err != nil {
			t.Fatal(err)
		}
	}
	p, err := NewPublisher(r.connect(nats.UserInfo("a", "p")), PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := p.Await(r.ctx(), "redox.reply.clinic-a.x"); err != nil || reply.MessageID != "x" {
		t.Errorf("its own reply: %+v, %v", reply, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	reply, err := p.Await(ctx, "redox.reply.clinic-b.x")
	if !errors.Is(err, ErrPermission) || reply.MessageID != "" {
		t.Errorf("another's reply: %+v, %v", reply, err)
	}
}
