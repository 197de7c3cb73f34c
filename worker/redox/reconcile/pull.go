package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
)

const (
	pullWait    = 30 * time.Second
	bindWait    = 250 * time.Millisecond
	bindMaxWait = 30 * time.Second
	// natsTimeout bounds a request to NATS. The client does so only when the context has no
	// deadline, and a server swallows some as it starts.
	natsTimeout = 5 * time.Second
)

const (
	// lease of a log: longer than two requests to Redox may take.
	lease = 5*time.Minute + 30*time.Second
	// maxPending bounds the logs that were looked at and wait for the next look; the others
	// wait in the stream.
	maxPending = 20000
	// maxWaiting bounds the workers whose requests for a log may wait at once. The server never
	// lets it be changed.
	maxWaiting = 2048
)

// pull takes one log after the other from the stream, until ctx ends.
func (r *Reconciler) pull(ctx context.Context) {
	p := patience{pace: r.config.Pace}
	for ctx.Err() == nil {
		consumer := r.bind(ctx)
		for ctx.Err() == nil && consumer != nil {
			msg, err := r.next(ctx, consumer)
			switch {
			case err == nil:
				r.handle(ctx, msg, &p)
			case errors.Is(err, nats.ErrTimeout) || ctx.Err() != nil:
			default:
				r.log.Debug("pulling logs to look up failed", "error", err)
				consumer = nil
				backoff.Sleep(ctx, bindWait)
			}
		}
	}
}

func (r *Reconciler) next(ctx context.Context, consumer jetstream.Consumer) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, pullWait)
	defer cancel()
	msg, err := consumer.Next(jetstream.FetchContext(ctx))
	if err != nil && ctx.Err() != nil {
		return nil, nats.ErrTimeout
	}
	return msg, err
}

// consumerConfig of the logs to look up, the same for all workers of a prefix.
func consumerConfig(p contract.Prefix) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:   p.ReconcileConsumer(),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: lease, MaxDeliver: -1, MaxAckPending: maxPending, MaxWaiting: maxWaiting,
	}
}

// bind makes the consumer, or finds it made by another worker; nil when ctx ended.
func (r *Reconciler) bind(ctx context.Context) jetstream.Consumer {
	p := r.config.Prefix
	name := p.ReconcileConsumer()
	for failures := 0; ; failures++ {
		look, cancel := context.WithTimeout(ctx, natsTimeout)
		consumer, err := r.js.CreateOrUpdateConsumer(look, p.ReconcileStream(), consumerConfig(p))
		cancel()
		if err == nil {
			return consumer
		}
		if ctx.Err() != nil {
			return nil
		}
		r.log.Warn("cannot bind the consumer of logs to look up; trying again (is the stream provisioned?)",
			"stream", p.ReconcileStream(), "consumer", name, "error", err)
		backoff.Sleep(ctx, backoff.Exponential(bindWait, bindMaxWait, failures+1))
	}
}

// patience spaces lookups: a pace when all is well, a pause that doubles when Redox cannot
// be asked.
type patience struct {
	pace     time.Duration
	last     time.Time
	failures int
}

const (
	firstPause = 2 * time.Second
	maxPause   = 5 * time.Minute
)

// wait blocks until the next lookup may be made; false when ctx ended.
func (p *patience) wait(ctx context.Context) bool {
	if d := time.Until(p.last.Add(p.pace)); !p.last.IsZero() && d > 0 && !backoff.Sleep(ctx, d) {
		return false
	}
	p.last = time.Now()
	return ctx.Err() == nil
}

// fail notes that Redox could not be asked and returns how long to pause, at least as long
// as it asked for.
func (p *patience) fail(err error) time.Duration {
	pause := backoff.Exponential(firstPause, maxPause, p.failures+1)
	p.failures++
	var after interface{ RetryAfter() time.Duration }
	if errors.As(err, &after) {
		pause = min(max(pause, after.RetryAfter()), maxPause)
	}
	return pause
}
