package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// offload of the configuration. The store is found later: the client to Redox is made
// before there is a connection to NATS.
func (w wiring) offload() redox.Offload {
	o := redox.Offload{Enabled: w.config.Redox.Offload.Enabled, Over: w.config.Redox.Offload.Over}
	if w.uploads != nil {
		o.Uploads = w.uploads
	}
	return o
}

// lateUploads is an [outbox.Uploads] that comes with the connection.
type lateUploads struct{ atomic.Pointer[outbox.Uploads] }

var errNoUploadsYet = errors.New("not connected to NATS yet")

// connect gives it the connection. A URI is kept for as long as its message may come again.
func (l *lateUploads) connect(js jetstream.JetStream, c *config.Config) {
	ttl := 30 * 24 * time.Hour
	if age := c.Worker.Retry.MaxAge; age > 0 {
		ttl = age + c.Worker.Retry.Max + time.Hour
	}
	l.Store(outbox.NewUploads(js, outbox.Prefix(c.NATS.Prefix), ttl))
}

// Uploaded serves [redox.Uploads].
func (l *lateUploads) Uploaded(ctx context.Context, source, file string) (string, error) {
	if u := l.Load(); u != nil {
		return u.Uploaded(ctx, source, file)
	}
	return "", errNoUploadsYet
}

// Keep serves [redox.Uploads].
func (l *lateUploads) Keep(ctx context.Context, source, file, uri string) error {
	if u := l.Load(); u != nil {
		return u.Keep(ctx, source, file, uri)
	}
	return errNoUploadsYet
}

// bodyLimit is the largest body of a kind that a worker takes, and the setting it comes from.
func bodyLimit(c *config.Config, kind outbox.Kind) (limit int64, setting string) {
	switch {
	case kind == outbox.KindFile:
		return c.Redox.MaxFile, "redox.max_file"
	case kind == outbox.KindDataModel && c.Redox.Offload.Enabled:
		return c.Redox.MaxBody + (c.Redox.MaxFile+2)/3*4, "redox.max_body with a file of redox.max_file in base64"
	}
	return c.Redox.MaxBody, "redox.max_body"
}

// leastClaim is what a claim check may bring at least; see worker.Config.
const leastClaim = 64 << 20

// maxClaim is the largest body that a worker reads from the object store.
func maxClaim(c *config.Config) int64 {
	most := int64(leastClaim)
	for _, kind := range []outbox.Kind{outbox.KindDataModel, outbox.KindFile} {
		limit, _ := bodyLimit(c, kind)
		most = max(most, limit)
	}
	return most
}
