package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// A gateway seals what it stores and asks for an answer that its caller can read; without a ring it refuses where
// sealing is required, while its ring is away it stores nothing, and no caller brings a seal of its own.
func TestGateway_Seals(t *testing.T) {
	t.Parallel()
	ks, _ := seal.Keys{}.With(time.Now(), time.Now())
	path := filepath.Join(t.TempDir(), "ring.json")
	if err := os.WriteFile(path, ks.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	ring := seal.Follow(path, seal.Options{})
	r, client := gatewayRig(t, Config{OrderSecret: outboxtest.Secret, Ring: ring, RequireSeal: true})
	h := nats.Header{contract.HeaderMessageID: {"g-1"}, contract.HeaderOrderKey: {"MRN 1"}, contract.HeaderKind: {"fhir"}, contract.HeaderPath: {"s/Production/Patient?name=CANARY"}, contract.HeaderMethod: {"PUT"}}
	if got := askGateway(t, client, "redox.gateway.clinic-a.send", h); !strings.Contains(string(got.Data), `"id":"g-1"`) {
		t.Fatalf("%s %v", got.Data, got.Header)
	}
	queued := r.Queued()
	if len(queued) != 1 || strings.Contains(string(queued[0].Data), `"a"`) || queued[0].Header.Get(contract.HeaderPath) != "" {
		t.Fatalf("%d are stored, in the clear", len(queued))
	}
	m, err := outbox.Decode("", outbox.Stored{Subject: queued[0].Subject, Header: queued[0].Header, Body: queued[0].Data})
	if err != nil {
		t.Fatal(err)
	}
	m, opening, err := m.Open(ring, "")
	if err != nil || string(m.Body) != `{"a":1}` || m.Method != "PUT" || !strings.Contains(m.Path, "CANARY") || !opening.ClearReply() {
		t.Errorf("%v, %v", m, err)
	}
	if got := askGateway(t, client, "redox.gateway.clinic-a.send", nats.Header{contract.HeaderSeal: {"v1.a.b"}}); got.Header.Get("Nats-Service-Error-Code") != "400" {
		t.Errorf("a seal of the caller: %s %v", got.Data, got.Header)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	away := func() bool {
		got := askGateway(t, client, "redox.gateway.clinic-a.send", nil)
		return got.Header.Get("Nats-Service-Error-Code") == "503" && strings.Contains(got.Header.Get("Nats-Service-Error"), "no key to seal with")
	}
	for end := time.Now().Add(10 * time.Second); !away(); {
		if time.Now().After(end) {
			t.Fatal("it stores without its ring")
		}
	}
	r, client = gatewayRig(t, Config{RequireSeal: true})
	got := askGateway(t, client, "redox.gateway.clinic-a.send", nil)
	if got.Header.Get("Nats-Service-Error-Code") != "400" || !strings.Contains(got.Header.Get("Nats-Service-Error"), "seal.require") || len(r.Queued()) != 0 {
		t.Errorf("without a ring: %v", got.Header)
	}
}
