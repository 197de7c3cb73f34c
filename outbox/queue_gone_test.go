package outbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/gateway"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/workertest"
)

// A queue that vanishes under a running publisher and gateway gives clear errors, and one that
// comes back, or is made anew while a write waits for it, is used at once.
func TestQueue_VanishesUnderPublisherAndGateway(t *testing.T) {
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		topology := topology.Topology{}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err := topology.Ensure(t.Context(), js)
		must(err)
		p, err := outbox.NewPublisher(js, outbox.PublisherConfig{})
		must(err)
		g, err := gateway.New(js.Conn(), js, gateway.Config{Sources: []string{"clinic-a"}})
		must(err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		synctest.Wait()
		publish := func(id string) error {
			_, err := p.Publish(t.Context(), outbox.Message{ID: id, Source: "clinic-a", Body: []byte("{}")})
			return err
		}
		ask := func() error {
			answer, err := js.Conn().Request("redox.gateway.clinic-a.send", []byte("{}"), 30*time.Second)
			must(err)
			var refused *outbox.GatewayError
			if _, err := outbox.DecodeReply(answer); errors.As(err, &refused) {
				return refused
			}
			return nil
		}
		must(publish("before"))
		must(ask())

		must(js.DeleteStream(t.Context(), "REDOX_OUT"))
		if err := publish("gone"); !errors.Is(err, outbox.ErrNoStream) || !strings.Contains(err.Error(), "redoxworker provision") {
			t.Errorf("the publisher says %v", err)
		}
		if err := ask(); err == nil || !strings.Contains(err.Error(), "the queue does not exist") {
			t.Errorf("the gateway says %v", err)
		}

		time.AfterFunc(2*time.Second, func() { _, _ = topology.Restore(t.Context(), js) })
		must(publish("waits"))
		must(ask())
		stream, err := js.Stream(t.Context(), "REDOX_OUT")
		must(err)
		if n := stream.CachedInfo().State.Msgs; n != 2 {
			t.Errorf("%d messages are stored", n)
		}
		cancel()
		must(<-ended)
	})
}

// Health names what is missing and what is full, and Restore makes what is missing and changes
// nothing else.
func TestTopology_HealthAndRestore(t *testing.T) {
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		topology := topology.Topology{}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err := topology.Ensure(t.Context(), js)
		must(err)
		if faults, unknown, err := topology.Health(t.Context(), js, nil); len(faults)+len(unknown) > 0 || err != nil {
			t.Errorf("all is there: %v, %v, %v", faults, unknown, err)
		}
		must(js.DeleteKeyValue(t.Context(), "REDOX_STATE"))
		cfg := topology.Streams()[1] // dead letters
		cfg.MaxMsgs = 1
		_, err = js.UpdateStream(t.Context(), cfg)
		must(err)
		_, err = js.Publish(t.Context(), "redox.dlq.x", nil)
		must(err)
		faults, _, err := topology.Health(t.Context(), js, nil)
		must(err)
		var said []string
		for _, f := range faults {
			said = append(said, f.Detail)
		}
		if got, want := strings.Join(said, "; "), "stream REDOX_DLQ is full: it holds 1 messages and max_msgs is 1; raise it, or replay or discard dead letters; "+
			"bucket REDOX_STATE does not exist: run `redoxworker provision`"; got != want {
			t.Errorf("faults: %s", got)
		}
		made, err := topology.Restore(t.Context(), js)
		must(err)
		if len(made) != 1 || made[0].Name != "REDOX_STATE" {
			t.Errorf("made %v", made)
		}
		stream, err := js.Stream(t.Context(), "REDOX_DLQ")
		must(err)
		if n := stream.CachedInfo().Config.MaxMsgs; n != 1 {
			t.Errorf("max_msgs is %d now", n)
		}
	})
}
