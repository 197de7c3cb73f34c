package outbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// A durable subject that was used before still holds the reply to another message.
func TestRequest_DurableSkipsTheReplyToAnotherMessage(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	const subject = "redox.reply.clinic-a.used"
	old := Reply{MessageID: "old", Settlement: Delivered, Body: []byte(`"old"`)}
	if _, err := r.js.PublishMsg(r.ctx(), old.Encode(subject)); err != nil {
		t.Fatal(err)
	}
	answering(r, true)
	reply, err := p.Request(r.ctx(), Message{ID: "new", Source: "clinic-a", ReplyTo: subject, Body: []byte(`"new"`)})
	if err != nil || reply.MessageID != "new" {
		t.Errorf("reply %+v, %v", reply, err)
	}
}

// The caller died after publishing; the same Request again finds the answer.
func TestRequest_DurableAgainAfterTheCallerWasDown(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	m := Message{ID: "q", Source: "clinic-a", Lane: LaneRequest, ReplyTo: "redox.reply.clinic-a.q", Body: []byte(`{}`)}
	if _, err := p.Publish(r.ctx(), m); err != nil {
		t.Fatal(err)
	}
	answering(r, true)
	again, err := NewPublisher(r.connect(), PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := again.Request(r.ctx(), m); err != nil || reply.MessageID != "q" {
		t.Errorf("reply %+v, %v", reply, err)
	}
}

func TestRequest_StrangersReplySubjectIsRefusedBeforePublishing(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	var contract *ContractError
	if _, err := p.Request(r.ctx(), Message{Source: "clinic-a", ReplyTo: "redox.reply.clinic-b.x"}); !errors.As(err, &contract) {
		t.Errorf("error %v", err)
	}
	if n := r.stream("REDOX_OUT").State.Msgs; n != 0 {
		t.Errorf("%d messages stored", n)
	}
}

func TestAwait_ClosedConnectionEndsAtOnce(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	js := r.connect()
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

func TestGateway_OrderTokenOnARequestIsRefused(t *testing.T) {
	t.Parallel()
	r, client := gatewayRig(t, GatewayConfig{})
	h := nats.Header{HeaderOrderToken: {"0123456789abcdef0123456789abcdef"}}
	msg, err := client.RequestMsg(&nats.Msg{Subject: "redox.gateway.clinic-a.request", Header: h, Data: []byte("{}")}, 2*time.Minute)
	var gateway *GatewayError
	if err == nil {
		_, err = DecodeReply(msg)
	}
	if !errors.As(err, &gateway) || gateway.Code != "400" {
		t.Errorf("answer: %v", err)
	}
	if n := r.stream("REDOX_OUT").State.Msgs; n != 0 {
		t.Errorf("%d messages stored, the first under %s", n, r.out(1).Subject)
	}
}
