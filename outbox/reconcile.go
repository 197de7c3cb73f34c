package outbox

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
func (t Topology) reconcileStream() jetstream.StreamConfig {
	cfg := t.stream(t.Prefix.ReconcileStream(), "Redox's logs that are followed to their end.", t.Prefix.ReconcileSubject("*"))
	cfg.Retention = jetstream.WorkQueuePolicy
	cfg.MaxAge = t.Reconcile + reconcileGrace
	return cfg
}

func (t Topology) eventStream() jetstream.StreamConfig {
	cfg := t.stream(t.Prefix.EventStream(), "Events about messages, such as a delivery that failed at Redox.", t.Prefix.EventSubject("*", "*"))
	cfg.MaxAge = eventAge
	return cfg
}

// ReconcileConsumer is the durable consumer of [Prefix.ReconcileStream] that all workers pull
// logs from.
func (p Prefix) ReconcileConsumer() string { return "reconcile" }
