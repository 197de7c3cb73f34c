package deploy_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

// What the worker needs to remove bodies that nothing names, and those of settled messages.
func TestFloor_WorkerCollects(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	nc := connect(t, f.srv, workerUser)
	js := stream(t, nc)
	ledger, err := js.KeyValue(t.Context(), "REDOX_LEDGER")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Create(t.Context(), "collect.bodies", nil, jetstream.KeyTTL(time.Hour)); err != nil {
		t.Error(err)
	}
	bodies := outbox.NewBodies(js, "")
	m := outbox.Message{ID: "m", Source: clinicA, Sequence: 1, BodyObject: "clinic-a/x"}
	if err := bodies.Put(t.Context(), m.BodyObject, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if done, err := bodies.Collect(t.Context(), outbox.LeastOrphanAge); err != nil || done.Objects != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	if err := bodies.Touch(t.Context(), m.BodyObject); err != nil {
		t.Error(err)
	}
	if err := bodies.DeleteUnlessDead(t.Context(), m); err != nil {
		t.Error(err)
	}
	// Nothing is old enough here for Collect to look for its name.
	for _, in := range []string{"REDOX_OUT", "REDOX_DLQ", "REDOX_REPLIES"} {
		answer, err := nc.Request("$JS.API.STREAM.MSG.GET."+in, []byte(`{"seq":1,"next_by_subj":">"}`), 2*time.Minute)
		if err != nil || !bytes.Contains(answer.Data, []byte(`"err_code":10037`)) {
			t.Errorf("reading %s: %v", in, err)
		}
	}
}

// Messages and answers over max_payload, with a publisher that is trusted with all bodies: the
// operator has its rights.
func TestFloor_LargeMessage(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	p, err := outbox.NewPublisher(f.op, outbox.PublisherConfig{ClaimCheck: true})
	if err != nil {
		t.Fatal(err)
	}
	body := append([]byte(`{"large":"`), bytes.Repeat([]byte("x"), 9<<20)...)
	got := ask(t, p, outbox.Message{ID: "large", Source: clinicA, ReplyTo: "redox.reply.clinic-a.large", Body: append(body, `"}`...)})
	if got.Settlement != outbox.Delivered || len(got.Body) < 8<<20 || f.deliveries("large") != 1 {
		t.Errorf("%s %s, %d bytes", got.Settlement, got.Error, len(got.Body))
	}
	f.drained(t)
	eventually(t, "the body of the message is gone, that of the stored reply not", func() bool {
		done, err := outbox.NewBodies(f.op, "").Collect(t.Context(), outbox.LeastOrphanAge)
		return err == nil && done.Objects == 1
	})
}
