package outbox

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// serveGateway runs a gateway until the returned function is called, which waits
// for its end.
func serveGateway(r topologyRig, cfg GatewayConfig) (stop func()) {
	r.t.Helper()
	g, err := NewGateway(r.js.Conn(), r.js, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.t.Errorf("Run: %v", err)
			}
		})
	}
	r.t.Cleanup(stop)
	client := r.connect().Conn()
	for end := time.Now().Add(10 * time.Second); ; {
		// The endpoints come one by one: the last is the request of the last source.
		subject := cfg.Prefix.GatewaySubject(cfg.Sources[len(cfg.Sources)-1], LaneRequest)
		_, err := client.RequestMsg(&nats.Msg{Subject: subject, Header: nats.Header{HeaderID: {"no id"}}}, time.Second)
		if err == nil {
			return stop
		}
		if time.Now().After(end) {
			r.t.Fatalf("the gateway does not answer: %v", err)
		}
	}
}

// TestGateway_HostileReplySubjectIsNotAnswered: the reply subject of a plain
// request is the caller's free choice, which the server does not check. An
// answer there is published with the gateway's rights: an error answer has no
// body, and a message without a body on STREAM.DELETE deletes the work queue.
func TestGateway_HostileReplySubjectIsNotAnswered(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	stop := serveGateway(r, GatewayConfig{Sources: []string{"clinic-a"}})
	client := r.connect().Conn()
	for _, reply := range []string{"$JS.API.STREAM.DELETE.REDOX_OUT", "$JS.API.STREAM.PURGE.REDOX_OUT", "redox.out.clinic-b.send", "redox.dlq.clinic-a.held.x", "redox.reply.clinic-b.x"} {
		for _, lane := range []Lane{LaneSend, LaneRequest} {
			for _, id := range []string{"good", "not an id"} { // one could be stored, one is refused
				msg := &nats.Msg{Subject: Prefix("").GatewaySubject("clinic-a", lane), Reply: reply, Header: nats.Header{HeaderID: {id}}, Data: []byte("{}")}
				if err := client.PublishMsg(msg); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// A request after them, on each endpoint: they were all taken. Then none is under way.
	for _, lane := range []Lane{LaneSend, LaneRequest} {
		askGateway(t, client, Prefix("").GatewaySubject("clinic-a", lane), nats.Header{HeaderID: {"no id"}})
	}
	stop()
	if err := r.js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	out, err := r.js.Stream(r.ctx(), "REDOX_OUT")
	if err != nil {
		t.Fatalf("the work queue is gone: %v", err)
	}
	info, err := out.Info(r.ctx(), jetstream.WithSubjectFilter(">"))
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
		s, err := r.js.Stream(r.ctx(), name)
		if err != nil {
			t.Fatal(err)
		}
		if n := s.CachedInfo().State.Msgs; n != 0 {
			t.Errorf("%s holds %d messages", name, n)
		}
	}
}

// TestDeadLetter_HostileHeadersAreStored publishes dead letters whose originals
// carry instructions to the stream, beside one that must survive them.
func TestDeadLetter_HostileHeadersAreStored(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	d := goldenDeadLetter()
	if _, err := r.js.PublishMsg(r.ctx(), d.Encode("")); err != nil {
		t.Fatal(err)
	}
	for i, h := range []nats.Header{
		{"Nats-Rollup": {"all"}},
		{"Nats-Rollup": {"sub"}, "nats-rollup": {"all"}},
		{"Nats-TTL": {"1s"}},
		{"Nats-Expected-Stream": {"OTHER"}},
		{"Nats-Expected-Last-Sequence": {"99"}},
		{"Nats-Expected-Last-Msg-Id": {"zzz"}},
		{"Nats-Expected-Last-Subject-Sequence": {"99"}},
		{"Nats-Expected-Last-Subject-Sequence-Subject": {"redox.dlq.other"}},
		{"Nats-Msg-Id": {"same"}},
		{"Nats-Msg-Id": {"same"}}, // the server would call it a duplicate and drop it
		{"Nats-Batch-Id": {"b"}, "Nats-Batch-Sequence": {"1"}},
		{"Nats-Schedule": {"@every 1s"}, "Nats-Schedule-Target": {"redox.out.clinic-b.send"}},
		{"Nats-Incr": {"1"}},
		{"Nats-Required-Api-Level": {"9999"}},
	} {
		d := goldenDeadLetter()
		d.Header, d.Sequence = h, uint64(100+i)
		ack, err := r.js.PublishMsg(r.ctx(), d.Encode(""))
		if err != nil || ack.Duplicate {
			t.Errorf("%v: %+v, %v", h, ack, err)
		}
	}
	dlq, err := r.js.Stream(r.ctx(), "REDOX_DLQ")
	if err != nil {
		t.Fatal(err)
	}
	if n := dlq.CachedInfo().State.Msgs; n != 15 {
		t.Errorf("%d dead letters stored, want 15", n)
	}
	raw, err := dlq.GetMsg(r.ctx(), 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeDeadLetter("", Stored{Subject: raw.Subject, Header: raw.Header, Body: raw.Data})
	if err != nil || got.MessageID != "m-1" || string(got.Body) != "body" {
		t.Errorf("read back %+v, %v", got, err)
	}
}

func TestDeadLetter_RepeatedWriteIsRecognised(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	msg := goldenDeadLetter().Encode("")
	if _, err := r.js.PublishMsg(r.ctx(), msg); err != nil {
		t.Fatal(err)
	}
	if err := r.server.Restart(); err != nil {
		t.Fatal(err)
	}
	again := goldenDeadLetter()
	again.Attempts, again.Worker = 9, "w-2" // another worker after a crash
	_, err := r.js.PublishMsg(r.ctx(), again.Encode(""), jetstream.WithRetryAttempts(20))
	if !IsAlreadyStored(err) {
		t.Errorf("second write: %v, want that it is stored already", err)
	}
}
