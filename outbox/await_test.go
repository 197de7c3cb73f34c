package outbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// answering plays a worker: it answers every request of clinic-a.
func answering(r rig, ack bool) {
	r.T.Helper()
	c, err := outboxtest.ReaderOf(r.Ctx(), r.JS, "clinic-a", "request")
	if err != nil {
		r.T.Fatal(err)
	}
	cc, err := c.Consume(func(msg jetstream.Msg) {
		m, err := Decode("", Stored{Subject: msg.Subject(), Header: msg.Headers(), Body: msg.Data()})
		if err != nil {
			r.T.Error(err)
		}
		if err := r.JS.Conn().PublishMsg(Reply{MessageID: m.ID, Settlement: Delivered, Status: 200, Body: m.Body}.Encode(m.ReplyTo)); err != nil {
			r.T.Error(err)
		}
		if ack {
			_ = msg.Ack()
		}
	})
	if err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(cc.Stop)
}

func TestRequest_InboxAndDurable(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	answering(r, true)
	for _, replyTo := range []string{"", "redox.reply.clinic-a.q-1"} {
		reply, err := p.Request(r.Ctx(), Message{Source: "clinic-a", ReplyTo: replyTo, Body: []byte(`{"q":1}`)})
		if err != nil || !reply.OK() || string(reply.Body) != `{"q":1}` {
			t.Errorf("reply to %q: %+v, %v", replyTo, reply, err)
		}
	}
	// A caller that was down reads its answer later.
	later, err := NewPublisher(r.Connect(), PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := later.Await(r.Ctx(), "redox.reply.clinic-a.q-1"); err != nil || !reply.OK() {
		t.Errorf("the stored reply: %+v, %v", reply, err)
	}
}

func TestRequest_DuplicateAndNobodyAnswers(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := p.Request(ctx, Message{ID: "q", Source: "clinic-a"}); !errors.Is(err, ErrNoReply) {
		t.Errorf("nobody answers: %v", err)
	}
	if _, err := p.Request(r.Ctx(), Message{ID: "q", Source: "clinic-a"}); !errors.Is(err, ErrDuplicate) {
		t.Errorf("the same id again: %v", err)
	}
	msg := r.Out(1)
	if msg.Header.Get(contract.HeaderDeadline) == "" {
		t.Error("the request has no deadline although its caller's context has")
	}
	short, cancelShort := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancelShort()
	if _, err := p.Await(short, "redox.reply.clinic-a.never"); !errors.Is(err, ErrNoReply) {
		t.Errorf("awaiting what never comes: %v", err)
	}
	var refused *ContractError
	if _, err := p.Await(r.Ctx(), "other.subject"); !errors.As(err, &refused) {
		t.Errorf("awaiting elsewhere: %v", err)
	}
}
