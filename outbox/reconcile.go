package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// reconcileConsumer is the durable consumer that all workers pull logs from.
	reconcileConsumer = "reconcile"
	// reconcileWait is the lease of a log: longer than two requests to Redox may take.
	reconcileWait = 5*time.Minute + 30*time.Second
	// reconcilePending bounds the logs that were looked at and wait for the next look; the
	// others wait in the stream.
	reconcilePending = 20000
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

// ReconcileConsumer is the durable consumer of REDOX_RECONCILE.
func (t Topology) ReconcileConsumer() jetstream.ConsumerConfig {
	cfg := t.WithDefaults().consumer(reconcileConsumer, t.Prefix.ReconcileSubject("*"), reconcilePending)
	cfg.AckWait = reconcileWait
	return cfg
}

func (t Topology) lookReconciler(ctx context.Context, js jetstream.JetStream) (step, error) {
	want, stream := t.ReconcileConsumer(), t.Prefix.ReconcileStream()
	have, err := ask(ctx, js, func(ctx context.Context) (jetstream.Consumer, error) { return js.Consumer(ctx, stream, want.Name) })
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrConsumerNotFound):
		return consumerStep(stream, want, nil), nil
	case err != nil:
		return step{}, explain(err, js, "look at consumer "+want.Name)
	}
	return consumerStep(stream, want, have.CachedInfo()), nil
}
