package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// A gateway without sources runs and serves nobody.
func TestGateway_NoSourcesMeansNone(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	g, err := New(r.JS.Conn(), r.JS, Config{Sources: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	for !g.Serving() {
		if _, err := r.JS.Conn().Request("nobody", nil, time.Minute); !errors.Is(err, nats.ErrNoResponders) {
			t.Fatal(err)
		}
	}
	if _, err := r.JS.Conn().Request("redox.gateway.clinic-a.send", []byte("{}"), time.Minute); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a source that nobody named is served: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
