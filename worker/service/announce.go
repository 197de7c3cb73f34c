package service

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// announce tells whoever may ask what this worker is doing, until the answered function is called:
// also while it drains, from when ctx ends. That it cannot stops no delivery.
func (s *Service) announce(ctx context.Context, conn *nats.Conn, w *worker.Worker) (stop func()) {
	telling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for telling.Err() == nil {
			err := overview.Announce(telling, conn, overview.Announcement{
				Prefix: contract.Prefix(s.config.NATS.Prefix), Version: s.build.Version, Logger: s.log,
				Report: func() overview.Worker { return s.report(ctx, w) }, Serves: w.Served,
			})
			if err == nil || telling.Err() != nil {
				return
			}
			s.log.Warn("the worker cannot be asked for its state; trying again", "error", err)
			backoff.Sleep(telling, 5*time.Second)
		}
	}()
	return func() { cancel(); <-done }
}

// report is what the worker says of itself. ctx is that of its work.
func (s *Service) report(ctx context.Context, w *worker.Worker) overview.Worker {
	r, status := overview.Of(w), s.Status()
	r.Draining, r.Ready, r.Gateway, r.Quota, r.Problems = ctx.Err() != nil, status.Ready, status.Gateway, status.Quota, status.Problems
	for _, k := range status.Keys {
		r.Keys = append(r.Keys, overview.Key{Status: k.Status, Type: k.Type, Paused: k.Paused, Sources: len(k.Sources)})
	}
	slices.SortFunc(r.Keys, func(a, b overview.Key) int { return cmp.Compare(a.Name, b.Name) })
	if relay := s.relay.Load(); relay != nil {
		stats := relay.Stats()
		r.Outbox = &overview.Outbox{Rows: stats.Rows, Age: stats.Lag, Failed: stats.FailedRows, Trouble: stats.Trouble}
	}
	return r
}
