package outbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// A durable subject that was used before still holds the reply to another message.
func TestRequest_DurableSkipsTheReplyToAnotherMessage(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	const subject = "redox.reply.clinic-a.used"
	old := Reply{MessageID: "old", Settlement: Delivered, Body: []byte(`"old"`)}
	if _, err := r.JS.PublishMsg(r.Ctx(), old.Encode(subject)); err != nil {
		t.Fatal(err)
	}
	answering(r, true)
	reply, err := p.Request(r.Ctx(), Message{ID: "new", Source: "clinic-a", ReplyTo: subject, Body: []byte(`"new"`)})
	if err != nil || reply.MessageID != "new" {
		t.Errorf("reply %+v, %v", reply, err)
	}
}

// The caller died after publishing; the same Request again finds the answer.
func TestRequest_DurableAgainAfterTheCallerWasDown(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	m := Message{ID: "q", Source: "clinic-a", Lane: contract.LaneRequest, ReplyTo: "redox.reply.clinic-a.q", Body: []byte(`{}`)}
	if _, err := p.Publish(r.Ctx(), m); err != nil {
		t.Fatal(err)
	}
	answering(r, true)
	again, err := NewPublisher(r.Connect(), PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := again.Request(r.Ctx(), m); err != nil || reply.MessageID != "q" {
		t.Errorf("reply %+v, %v", reply, err)
	}
}

// The message was rejected, and its dead letter sent again: the same Request finds the answer
// to the replay, at once and without a message of its own, whatever the queue remembers.
func TestRequest_DurableFindsTheAnswerToAReplay(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	m := Message{ID: "a-1", Source: "clinic-a", Lane: contract.LaneSend, ReplyTo: "redox.reply.clinic-a.a-1", Body: []byte(`{}`)}
	for i, reply := range []Reply{
		{MessageID: "a-1", Settlement: Rejected, Status: 400, Error: "status 400"},
		{MessageID: "a-1:r1", ReplayOf: "a-1", Settlement: Rejected, Status: 422, Error: "status 422"},
		{MessageID: "a-1:r2", ReplayOf: "a-1", Settlement: Delivered, Status: 200, Body: []byte(`{"ok":1}`)},
	} {
		if _, err := r.JS.PublishMsg(r.Ctx(), reply.Encode(m.ReplyTo)); err != nil {
			t.Fatal(err)
		}
		got, err := p.Request(r.Ctx(), m)
		if err != nil || got.MessageID != reply.MessageID || got.ReplayOf != reply.ReplayOf || got.Status != reply.Status {
			t.Errorf("Request after answer %d: %+v, %v", i, got, err)
		}
		if got, err = p.Await(r.Ctx(), m.ReplyTo); err != nil || got.MessageID != reply.MessageID {
			t.Errorf("Await after answer %d: %+v, %v", i, got, err)
		}
	}
	if n := r.Stream("REDOX_OUT").State.Msgs; n != 0 {
		t.Errorf("%d messages were published", n)
	}
}

// A caller that still waits when the replay is answered hears of it, at a reply subject of
// either sort.
func TestRequest_HearsTheAnswerToAReplay(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	for id, to := range map[string]string{"w1": "redox.reply.clinic-a.w", "w2": ""} {
		sub, err := r.JS.Conn().SubscribeSync("redox.out.clinic-a.send")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			msg, err := sub.NextMsgWithContext(r.Ctx())
			if err != nil {
				t.Error(err)
				return
			}
			answer := Reply{MessageID: id + ":r1", ReplayOf: id, Settlement: Delivered, Status: 200}.Encode(msg.Header.Get(contract.HeaderReplyTo))
			if err := r.JS.Conn().PublishMsg(answer); err != nil {
				t.Error(err)
			}
		}()
		if got, err := p.Request(r.Ctx(), Message{ID: id, Source: "clinic-a", Lane: contract.LaneSend, ReplyTo: to, Body: []byte(`{}`)}); err != nil || got.ReplayOf != id {
			t.Errorf("%q: %+v, %v", to, got, err)
		}
		_ = sub.Unsubscribe()
	}
}

func TestRequest_StrangersReplySubjectIsRefusedBeforePublishing(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	var refused *ContractError
	if _, err := p.Request(r.Ctx(), Message{Source: "clinic-a", ReplyTo: "redox.reply.clinic-b.x"}); !errors.As(err, &refused) {
		t.Errorf("error %v", err)
	}
	if n := r.Stream("REDOX_OUT").State.Msgs; n != 0 {
		t.Errorf("%d messages stored", n)
	}
}

func TestAwait_ClosedConnectionEndsAtOnce(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	js := r.Connect()
	p, err := NewPublisher(js, PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	time.AfterFunc(200*time.Millisecond, js.Conn().Close)
	if _, err := p.Await(ctx, "redox.reply.clinic-a.x"); err == nil || ctx.Err() != nil {
		t.Errorf("error %v, context %v", err, ctx.Err())
	}
}
