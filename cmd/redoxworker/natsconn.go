package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service/natslink"
)

// connectTimeout is how long a command that does one thing waits for NATS.
const connectTimeout = 5 * time.Second

// connectOnce connects for a command that does one thing: it gives up after a few
// seconds, where a daemon waits.
func connectOnce(ctx context.Context, c *config.Config, log *slog.Logger) (*nats.Conn, jetstream.JetStream, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, errors.New("no connection within 5s; is the server running, and are url and credentials right?"))
	defer cancel()
	return natslink.Connect(ctx, c, log)
}
