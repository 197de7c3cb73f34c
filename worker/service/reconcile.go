package service

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redox/reconcile"
	"github.com/redoxworker/redoxworker/worker/service/access"
)

// reconcileShare is the part of Redox's quota that the reconciler of one process uses at
// most: one request in so many.
const reconcileShare = 20

// openLogs readies the lookups of the reconciler, where it is switched on.
func (s *Service) openLogs() error {
	if !s.config.Reconcile.Enabled {
		return nil
	}
	key := s.keys.Get(s.config.Reconcile.Key)
	if key == nil {
		return config.Mistakef("reconcile.key: there is no key %q; name a user-level key", s.config.Reconcile.Key)
	}
	cfg := s.redoxConfig()
	cfg.Grant = s.lookupGrant()
	logs, err := access.PlatformLogs(s.config, key, cfg)
	s.logs = &logs
	return err
}

// reconcile starts the reconciler and answers what tells it of events. stop ends it, and waits
// for that: call it when the worker has stopped.
func (s *Service) reconcile(ctx context.Context, js jetstream.JetStream) (follow func(worker.Event), stop func(), err error) {
	if s.logs == nil {
		return nil, func() {}, nil
	}
	r, err := reconcile.New(js, s.logs.Look, reconcile.Config{
		Prefix: contract.Prefix(s.config.NATS.Prefix), Interval: s.config.Reconcile.Interval, GiveUp: s.config.Reconcile.GiveUp,
		Pace: s.config.Quota.Per / time.Duration(s.config.Quota.Requests) * reconcileShare, Logger: s.log, Registerer: s.metrics,
	})
	if err != nil {
		return nil, nil, err
	}
	follow = func(e worker.Event) {
		if followed(e) {
			r.Follow(reconcile.Delivered{Source: e.Source, Kind: e.MessageKind, Message: e.MessageID, Sequence: e.Sequence, LogIDs: e.LogIDs})
		}
	}
	return follow, goAlong(ctx, r.Run), nil
}

// goAlong runs something that outlives ctx until stop is called, which waits for its end.
func goAlong(ctx context.Context, run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// followed reports whether Redox has taken a message and is to deliver it later: a REQUEST
// was answered already.
func followed(e worker.Event) bool {
	return e.Kind == worker.EventSettled && e.Settlement == outbox.Delivered && e.Lane != contract.LaneRequest
}

// reconcileAge is how long logs may be followed; 0 when none is.
func reconcileAge(c *config.Config) time.Duration {
	if !c.Reconcile.Enabled {
		return 0
	}
	return c.Reconcile.GiveUp
}
