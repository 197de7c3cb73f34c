package outbox

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

// rig adds what tests of this package do with their server.
type rig struct{ outboxtest.Rig }

func newRig(t *testing.T) rig {
	t.Helper()
	return rig{outboxtest.New(t)}
}

// configured runs a server with this configuration file.
func configured(t *testing.T, conf string, opts ...nats.Option) rig {
	t.Helper()
	return rig{outboxtest.Configured(t, conf, opts...)}
}
