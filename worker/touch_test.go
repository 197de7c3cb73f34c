package worker

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

// A head that a worker takes while it is being held by hand is not said to be unsent: that
// worker may die sending it.
func TestLanes_TouchSaysNothingOfAMessageThatAWorkerHas(t *testing.T) {
	t.Parallel()
	js, err := jetstream.New(liveServer(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (outbox.Topology{Sources: []string{"clinic-a"}, Partitions: 1}).Ensure(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	token, err := outbox.OrderToken([]byte("0123456789abcdef0123456789abcdef"), "patient")
	if err != nil {
		t.Fatal(err)
	}
	publish := func(id string) {
		t.Helper()
		msg, err := (outbox.Message{ID: id, Source: "clinic-a", OrderToken: token, Body: []byte(`{}`)}).Encode("")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	consumer, err := js.Consumer(t.Context(), "REDOX_OUT", outbox.Prefix("").OrderedConsumer("clinic-a", 0))
	if err != nil {
		t.Fatal(err)
	}
	l := NewLanes(js, "")
	known := func(sequence uint64, id string) record {
		t.Helper()
		rec, err := l.ledger.load(t.Context(), outbox.Message{ID: id, Source: "clinic-a", Sequence: sequence})
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}

	publish("taken")
	taken, err := consumer.Next(jetstream.FetchMaxWait(5 * time.Second)) // by the worker
	if err != nil {
		t.Fatal(err)
	}
	if err := l.touch(t.Context(), consumer); err != nil {
		t.Fatal(err)
	}
	if rec := known(1, "taken"); rec != (record{}) {
		t.Errorf("the ledger says %+v", rec)
	}
	if err := taken.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish("next")
	if err := l.touch(t.Context(), consumer); err != nil {
		t.Fatal(err)
	}
	if rec := known(2, "next"); rec.Ended != 1 {
		t.Errorf("the ledger says %+v of a message that was touched", rec)
	}
}
