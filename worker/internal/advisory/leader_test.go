package advisory

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// Since when a consumer has its leader is asked for where the application reaches JetStream: in a
// domain, or with the prefix of an account's import.
func TestLeaderSince_AsksForTheLeaderWhereJetStreamIs(t *testing.T) {
	server, err := natsdev.Start(natsdev.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Shutdown() }()
	conn, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	want := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	domain, err := jetstream.NewWithDomain(conn, "hub")
	if err != nil {
		t.Fatal(err)
	}
	imported, err := jetstream.NewWithAPIPrefix(conn, "JS.hub")
	if err != nil {
		t.Fatal(err)
	}
	for prefix, js := range map[string]jetstream.JetStream{"$JS.hub.API.": domain, "JS.hub.": imported} {
		_, err := conn.Subscribe(prefix+"CONSUMER.INFO.REDOX_OUT.clinic-a-send", func(m *nats.Msg) {
			_ = m.Respond([]byte(`{"cluster":{"leader_since":"2026-01-05T12:00:00Z"}}`))
		})
		if err != nil {
			t.Fatal(err)
		}
		since, err := Advisory{Stream: "REDOX_OUT", Consumer: "clinic-a-send"}.LeaderSince(t.Context(), js)
		if err != nil || !since.Equal(want) {
			t.Errorf("with %s: %v, %v", prefix, since, err)
		}
	}
}
