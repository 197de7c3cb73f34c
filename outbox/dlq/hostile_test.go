package dlq

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

// TestDeadLetter_HostileHeadersAreStored publishes dead letters whose originals
// carry instructions to the stream, beside one that must survive them.
func TestDeadLetter_HostileHeadersAreStored(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	d := goldenDeadLetter()
	if _, err := g.JS.PublishMsg(g.Ctx(), d.Encode("")); err != nil {
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
		ack, err := g.JS.PublishMsg(g.Ctx(), d.Encode(""))
		if err != nil || ack.Duplicate {
			t.Errorf("%v: %+v, %v", h, ack, err)
		}
	}
	dlq, err := g.JS.Stream(g.Ctx(), "REDOX_DLQ")
	if err != nil {
		t.Fatal(err)
	}
	if n := dlq.CachedInfo().State.Msgs; n != 15 {
		t.Errorf("%d dead letters stored, want 15", n)
	}
	raw, err := dlq.GetMsg(g.Ctx(), 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode("", outbox.Stored{Subject: raw.Subject, Header: raw.Header, Body: raw.Data})
	if err != nil || got.MessageID != "m-1" || string(got.Body) != "body" {
		t.Errorf("read back %+v, %v", got, err)
	}
}

func TestDeadLetter_RepeatedWriteIsRecognised(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	msg := goldenDeadLetter().Encode("")
	if _, err := g.JS.PublishMsg(g.Ctx(), msg); err != nil {
		t.Fatal(err)
	}
	if err := g.Server.Restart(); err != nil {
		t.Fatal(err)
	}
	again := goldenDeadLetter()
	again.Attempts, again.Worker = 9, "w-2" // another worker after a crash
	_, err := g.JS.PublishMsg(g.Ctx(), again.Encode(""), jetstream.WithRetryAttempts(20))
	if !jsapi.AlreadyStored(err) {
		t.Errorf("second write: %v, want that it is stored already", err)
	}
}
