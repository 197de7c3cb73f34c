package service

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/uploads"
)

// lateUploads is an [uploads.Store] that comes with the connection: the client to Redox is made
// before there is one.
type lateUploads struct{ atomic.Pointer[uploads.Store] }

var errNoUploadsYet = errors.New("not connected to NATS yet")

// connect gives it the connection. A URI is kept for as long as its message may come again.
func (l *lateUploads) connect(js jetstream.JetStream, c *config.Config) {
	ttl := 30 * 24 * time.Hour
	if age := c.Worker.Retry.MaxAge; age > 0 {
		ttl = age + c.Worker.Retry.Max + time.Hour
	}
	l.Store(uploads.New(js, contract.Prefix(c.NATS.Prefix), ttl))
}

// Uploaded implements [redox.Uploads].
func (l *lateUploads) Uploaded(ctx context.Context, source, file string) (string, error) {
	if u := l.Load(); u != nil {
		return u.Uploaded(ctx, source, file)
	}
	return "", errNoUploadsYet
}

// Keep implements [redox.Uploads].
func (l *lateUploads) Keep(ctx context.Context, source, file, uri string) error {
	if u := l.Load(); u != nil {
		return u.Keep(ctx, source, file, uri)
	}
	return errNoUploadsYet
}

// leastClaim is the least bound of a claim check's body; see worker.Config.
const leastClaim = 64 << 20

// maxClaim is the largest body that a worker reads from the object store.
func maxClaim(c *config.Config) int64 {
	most := int64(leastClaim)
	for _, kind := range []outbox.Kind{outbox.KindDataModel, outbox.KindFile} {
		limit, _ := c.Redox.BodyLimit(string(kind))
		most = max(most, limit)
	}
	return most
}
