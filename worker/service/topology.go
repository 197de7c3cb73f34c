package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// Topology returns the streams and buckets of a configuration.
func Topology(c *config.Config) topology.Topology {
	return topology.Topology{
		Prefix: contract.Prefix(c.NATS.Prefix), Replicas: c.NATS.Replicas, QueueMaxBytes: c.Queue.MaxBytes, QueueMaxMsgs: int64(c.Queue.MaxMsgs),
		DeadMaxAge: c.DLQ.MaxAge, AuditMaxAge: c.Audit.MaxAge, Reconcile: reconcileAge(c), Registry: c.Registry,
	}
}

// prepareQueue looks at the streams before anything is read from them, and makes them where it
// may.
func (s *Service) prepareQueue(ctx context.Context, js jetstream.JetStream) error {
	if s.config.NATS.Provision != config.ProvisionAuto {
		return nil
	}
	return s.provision(ctx, js)
}

// provision ensures the topology; what it refuses to change is left to a person.
func (s *Service) provision(ctx context.Context, js jetstream.JetStream) error {
	changes, err := Topology(s.config).Ensure(ctx, js)
	for _, c := range changes {
		s.log.Info("provision", "action", c.Action, "kind", c.Kind, "name", c.Name, "detail", c.Detail)
	}
	if errors.Is(err, topology.ErrRefused) {
		s.log.Warn("provision: some differences were left as they are; see redoxworker provision --dry-run", "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("provision (or set nats.provision: never): %w", err)
	}
	return nil
}
