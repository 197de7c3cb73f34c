package outbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// A gateway without sources runs and serves nobody.
func TestGateway_NoSourcesMeansNone(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	g, err := NewGateway(r.js.Conn(), r.js, GatewayConfig{Sources: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	for !g.Serving() {
		if _, err := r.js.Conn().Request("nobody", nil, time.Minute); !errors.Is(err, nats.ErrNoResponders) {
			t.Fatal(err)
		}
	}
	if _, err := r.js.Conn().Request("redox.gateway.clinic-a.send", []byte("{}"), time.Minute); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a source that nobody named is served: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
