package streams

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// reconcileGrace is how long a log stays when nobody looks at it any more.
	reconcileGrace = time.Hour
	eventAge       = 30 * 24 * time.Hour
)

// reconcileStream is a queue of its own: a log leaves it when Redox has said how it ended.
func (s Set) reconcileStream() jetstream.StreamConfig {
	cfg := s.stream(s.Names.ReconcileStream(), "Redox's logs that are followed to their end.", s.Names.ReconcileSubject("*"))
	cfg.Retention = jetstream.WorkQueuePolicy
	cfg.MaxAge = s.Reconcile + reconcileGrace
	return cfg
}

func (s Set) eventStream() jetstream.StreamConfig {
	cfg := s.stream(s.Names.EventStream(), "Events about messages, such as a delivery that failed at Redox.", s.Names.EventSubject("*", "*"))
	cfg.MaxAge = eventAge
	return cfg
}
