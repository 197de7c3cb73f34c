package service

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/gateway"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/service/access"
)

// newGateway answers the gateway of the configuration; nil when it is switched off.
func (s *Service) newGateway(conn *nats.Conn, js jetstream.JetStream, serverTime func() time.Time) (*gateway.Gateway, error) {
	c := s.config
	if !c.Gateway.Enabled {
		return nil, nil
	}
	return gateway.New(conn, js, gateway.Config{
		Prefix: contract.Prefix(c.NATS.Prefix), Sources: s.served.Load().names(),
		OrderSecret: []byte(c.Order.Secret.Reveal()), MaxWait: c.Gateway.MaxWait, ReplyAllow: c.Reply.Allow, HeaderAllow: access.Headers(c), MaxShare: c.Queue.MaxShare, Ring: s.ring, RequireSeal: c.Seal.Require, Logger: s.log, Now: serverTime,
	})
}

// runGateway keeps the gateway up: that it cannot start does not stop deliveries.
func (s *Service) runGateway(ctx context.Context, g *gateway.Gateway) {
	for ctx.Err() == nil {
		err := g.Run(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		s.log.Error("the gateway stopped; starting it again", "error", err)
		backoff.Sleep(ctx, 5*time.Second)
	}
}
