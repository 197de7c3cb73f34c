package gateway

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

// serveGateway runs a gateway until the returned function is called, which waits
// for its end.
func serveGateway(r outboxtest.Rig, cfg Config) (stop func()) {
	r.T.Helper()
	g, err := New(r.JS.Conn(), r.JS, cfg)
	if err != nil {
		r.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.T.Errorf("Run: %v", err)
			}
		})
	}
	r.T.Cleanup(stop)
	client := r.Connect().Conn()
	for end := time.Now().Add(10 * time.Second); ; {
		// The endpoints come one by one: the last is the request of the last source.
		subject := cfg.Prefix.GatewaySubject(cfg.Sources[len(cfg.Sources)-1], contract.LaneRequest)
		_, err := client.RequestMsg(&nats.Msg{Subject: subject, Header: nats.Header{contract.HeaderID: {"no id"}}}, time.Second)
		if err == nil {
			return stop
		}
		if time.Now().After(end) {
			r.T.Fatalf("the gateway does not answer: %v", err)
		}
	}
}

// TestGateway_HostileReplySubjectIsNotAnswered: the reply subject of a plain
// request is the caller's free choice, which the server does not check. An
// answer there is published with the gateway's rights: an error answer has no
// body, and a message without a body on STREAM.DELETE deletes the work queue.
func TestGateway_HostileReplySubjectIsNotAnswered(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	stop := serveGateway(r, Config{Sources: []string{"clinic-a"}})
	client := r.Connect().Conn()
	for _, reply := range []string{"$JS.API.STREAM.DELETE.REDOX_OUT", "$JS.API.STREAM.PURGE.REDOX_OUT", "redox.out.clinic-b.send", "redox.dlq.clinic-a.held.x", "redox.reply.clinic-b.x"} {
		for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
			for _, id := range []string{"good", "not an id"} { // one could be stored, one is refused
				msg := &nats.Msg{Subject: contract.Prefix("").GatewaySubject("clinic-a", lane), Reply: reply, Header: nats.Header{contract.HeaderID: {id}}, Data: []byte("{}")}
				if err := client.PublishMsg(msg); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// A request after them, on each endpoint: they were all taken. Then none is under way.
	for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
		askGateway(t, client, contract.Prefix("").GatewaySubject("clinic-a", lane), nats.Header{contract.HeaderID: {"no id"}})
	}
	stop()
	if err := r.JS.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	out, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
	if err != nil {
		t.Fatalf("the work queue is gone: %v", err)
	}
	info, err := out.Info(r.Ctx(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	if n := info.State.Subjects["redox.out.clinic-b.send"]; n != 0 {
		t.Errorf("%d messages of another source", n)
	}
	if n := info.State.Msgs; n != 0 {
		t.Errorf("%d messages stored, want none", n)
	}
	for _, name := range []string{"REDOX_DLQ", "REDOX_REPLIES"} {
		s, err := r.JS.Stream(r.Ctx(), name)
		if err != nil {
			t.Fatal(err)
		}
		if n := s.CachedInfo().State.Msgs; n != 0 {
			t.Errorf("%s holds %d messages", name, n)
		}
	}
}
