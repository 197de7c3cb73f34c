package service

import (
	"context"
	"net/http"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/quota"
)

// openGovernor makes the keeper of the quota, where one is configured.
func (s *Service) openGovernor() error {
	q := s.config.Quota
	if q.Scope == config.ScopeNone {
		return nil
	}
	governor, err := quota.New(quota.Config{
		Requests: q.Requests, Per: q.Per, Group: q.Group, Reserve: q.ReserveRequests,
		Prefix: contract.Prefix(s.config.NATS.Prefix), ID: s.workerID(), Logger: s.log, Registerer: s.metrics,
	})
	if err != nil {
		return config.Mistake{Err: err}
	}
	s.governor = governor
	return nil
}

// countTokens counts the requests for tokens in the quota.
func (s *Service) countTokens(base http.RoundTripper) http.RoundTripper {
	if s.governor == nil {
		return base
	}
	return s.governor.Transport(base)
}

// grant counts what an attempt requests besides the one request that it was granted: the
// repeat with a new token, and uploads.
func (s *Service) grant() func(context.Context) (func(sent bool), error) {
	if s.governor == nil {
		return nil
	}
	return func(ctx context.Context) (func(sent bool), error) {
		if worker.Granted(ctx) {
			return nil, nil
		}
		return s.governor.Extra(ctx)
	}
}

// lookupGrant counts lookups that nobody waits for: they take turns with the sources'
// SENDs, behind every REQUEST.
func (s *Service) lookupGrant() func(context.Context) (func(sent bool), error) {
	if s.governor == nil {
		return nil
	}
	return func(ctx context.Context) (func(sent bool), error) {
		return s.governor.Acquire(ctx, "", contract.LaneSend)
	}
}

// govern keeps the quota until the returned function is called, which waits until what is
// left was given back.
func (s *Service) govern(ctx context.Context, js jetstream.JetStream) (stop func()) {
	if s.governor == nil {
		return func() {}
	}
	if s.config.Quota.Scope == config.ScopeProcess {
		return goAlong(ctx, s.governor.RunAlone)
	}
	return goAlong(ctx, func(ctx context.Context) { s.governor.Run(ctx, js) })
}
