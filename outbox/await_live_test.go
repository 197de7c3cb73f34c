package outbox

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
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
		reply, err := p.Await(r.Ctx(), "redox.reply.clinic-a.x")
		done <- result{reply, err}
	}()
	if err := r.Server.Restart(); err != nil {
		t.Fatal(err)
	}
	other := r.Connect()
	msg := Reply{MessageID: "x", Settlement: Delivered, Body: []byte("late")}.Encode("redox.reply.clinic-a.x")
	if _, err := other.PublishMsg(r.Ctx(), msg); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.err != nil || string(got.reply.Body) != "late" {
		t.Errorf("reply %+v, %v", got.reply, got.err)
	}
}

// A repeated write of a durable reply is dropped, and no other message's is taken for it.
func TestAwait_DurableReplyIsStoredOnce(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	m := Message{ID: "x", Source: "clinic-a", Sequence: 7, Stored: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	another := func(change func(*Message)) Message {
		m := m
		change(&m)
		return m
	}
	for i, m := range []Message{m,
		another(func(m *Message) { m.Source = "clinic-b" }), another(func(m *Message) { m.ID = "x:7" }),
		another(func(m *Message) { m.Sequence = 8 }), another(func(m *Message) { m.Stored = m.Stored.Add(1) }), // a queue made anew
	} {
		msg := Reply{MessageID: m.ID, Settlement: Held, Error: "unknown outcome"}.Encode("redox.reply." + m.Source + ".x")
		msg.Header.Set(contract.HeaderID, m.ReplyID())
		for try := range 2 {
			ack, err := r.JS.PublishMsg(r.Ctx(), msg)
			if err != nil || ack.Duplicate != (try == 1) {
				t.Errorf("message %d, write %d: %+v, %v", i, try, ack, err)
			}
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
	r.Provision(streams.Set{Names: contract.Prefix("")})
	for _, source := range []string{"clinic-a", "clinic-b"} {
		if _, err := r.JS.PublishMsg(r.Ctx(), Reply{MessageID: "x", Settlement: Delivered}.Encode("redox.reply."+source+".x")); err != nil {
			t.Fatal(err)
		}
	}
	p, err := NewPublisher(r.Connect(nats.UserInfo("a", "p")), PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := p.Await(r.Ctx(), "redox.reply.clinic-a.x"); err != nil || reply.MessageID != "x" {
		t.Errorf("its own reply: %+v, %v", reply, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	reply, err := p.Await(ctx, "redox.reply.clinic-b.x")
	if !errors.Is(err, ErrPermission) || reply.MessageID != "" {
		t.Errorf("another's reply: %+v, %v", reply, err)
	}
}

// TestAwait_ALargeBodyHasTheCallersTime: looking at the stored replies again from time to
// time does not cut off the reading of a body that came just before.
func TestAwait_ALargeBodyHasTheCallersTime(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	body := bytes.Repeat([]byte("x"), 20<<20)
	if err := NewBodies(r.JS, "").Put(r.Ctx(), "clinic-a/reply-x", body); err != nil {
		t.Fatal(err)
	}
	sub, err := p.subscribe(r.Ctx(), "redox.reply.clinic-a.x")
	if err != nil {
		t.Fatal(err)
	}
	look, over := context.WithCancel(r.Ctx())
	defer over()
	watch := r.Connect().Conn()
	reading, err := watch.Subscribe("$JS.API.STREAM.MSG.GET.>", func(*nats.Msg) { over() })
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(reading.SetPendingLimits(-1, -1), watch.Flush()); err != nil {
		t.Fatal(err)
	}
	msg := Reply{MessageID: "x", Settlement: Delivered, BodyObject: "clinic-a/reply-x"}.Encode("redox.reply.clinic-a.x")
	if err := r.JS.Conn().PublishMsg(msg); err != nil {
		t.Fatal(err)
	}
	if got, found, err := p.next(r.Ctx(), look, sub, "clinic-a", "x"); err != nil || !found || len(got.Body) != len(body) {
		t.Errorf("found %t, %d bytes, %v", found, len(got.Body), err)
	}
	if look.Err() == nil {
		t.Error("the look did not end while the body was read")
	}
}
