package topology

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestTopology_Reconcile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ensure(small())
	if _, err := r.JS.Stream(r.Ctx(), "REDOX_RECONCILE"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatalf("made without being asked for: %v", err)
	}
	top := small()
	top.Reconcile = 24 * time.Hour
	var made []string
	for _, c := range r.ensure(top) {
		made = append(made, c.String())
	}
	if got := strings.Join(made, ", "); got != "create stream REDOX_RECONCILE, create stream REDOX_EVENTS" {
		t.Error(got)
	}
	if again := r.ensure(top); len(again) != 0 {
		t.Errorf("again: %v", again)
	}
	// A log that is settled leaves; an event stays.
	m := nats.NewMsg(top.Prefix.ReconcileSubject("clinic-a"))
	if _, err := r.JS.PublishMsg(r.Ctx(), m); err != nil {
		t.Fatal(err)
	}
	if _, err := r.JS.Publish(r.Ctx(), top.Prefix.EventSubject("clinic-a", "failed"), nil); err != nil {
		t.Fatal(err)
	}
	c, err := r.JS.CreateConsumer(r.Ctx(), "REDOX_RECONCILE", jetstream.ConsumerConfig{Durable: "reconcile", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Next(jetstream.FetchContext(r.Ctx()))
	if err != nil {
		t.Fatal(err)
	}
	if err := got.DoubleAck(r.Ctx()); err != nil {
		t.Fatal(err)
	}
	for stream, want := range map[string]uint64{"REDOX_RECONCILE": 0, "REDOX_EVENTS": 1} {
		if n := r.Stream(stream).State.Msgs; n != want {
			t.Errorf("%s holds %d messages", stream, n)
		}
	}
	// A longer give-up is taken over.
	top.Reconcile = 48 * time.Hour
	if changes := r.ensure(top); len(changes) != 1 {
		t.Errorf("%v", changes)
	}
	if age := r.Stream("REDOX_RECONCILE").Config.MaxAge; age != 49*time.Hour {
		t.Error(age)
	}
}
