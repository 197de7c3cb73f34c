package service

import (
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/gateway"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/service/access"
)

// newClient to Redox with the credentials of every key.
func (s *Service) newClient() (*redox.Client, error) {
	client, err := redox.New(s.served.Load().ofRedox(), s.keys.Credentials(), s.redoxConfig())
	if err != nil {
		return nil, config.Mistake{Err: err}
	}
	return client, nil
}

func (s *Service) redoxConfig() redox.Config {
	cfg := access.RedoxConfig(s.config, s.transport, s.build.Version)
	cfg.Grant, cfg.Logger, cfg.Registerer, cfg.Offload.Uploads = s.grant(), s.log, s.metrics, s.uploads
	return cfg
}

// newConsumers makes worker and gateway, nil where there is to be none, of the sources that are
// served now.
func (s *Service) newConsumers(conn *nats.Conn, js jetstream.JetStream, follow func(worker.Event)) (*worker.Worker, *gateway.Gateway, error) {
	s.changing.mu.Lock()
	defer s.changing.mu.Unlock()
	w, err := s.newWorker(js, follow)
	if err != nil {
		return nil, nil, err
	}
	gateway, err := s.newGateway(conn, js, w.ServerTime)
	if err != nil {
		return nil, nil, err
	}
	s.worker.Store(w)
	s.gateway.Store(gateway)
	return w, gateway, nil
}

// newWorker of the configuration. follow is told of every event before the program is; nil means
// nobody follows.
func (s *Service) newWorker(js jetstream.JetStream, follow func(worker.Event)) (*worker.Worker, error) {
	c := s.config
	cfg := worker.Config{
		Prefix: contract.Prefix(c.NATS.Prefix), Concurrency: c.Worker.Concurrency, MetricSources: c.Admin.MetricSources,
		AckWait: c.Worker.AckWait, DrainTimeout: orOff(c.Worker.DrainTimeout), ReplyAllow: c.Reply.Allow,
		BreakerAfter: orOff(c.Worker.BreakerAfter),
		Retry: worker.Retry{
			Initial: c.Worker.Retry.Initial, Max: c.Worker.Retry.Max, MaxAge: orOff(c.Worker.Retry.MaxAge),
			RequestMaxAge: c.Worker.Retry.RequestMaxAge, MaxAttempts: c.Worker.Retry.MaxAttempts, PoisonAfter: orOff(c.Worker.Retry.PoisonAfter),
		},
		HoldAfterDeadLetter: c.Order.AfterDeadLetter == config.AfterHold, Audit: s.audit(js),
		ID: s.workerID(), Version: s.build.Version, Logger: s.log, Registerer: s.metrics, Tracer: s.options.TracerProvider, Observe: inTurn(follow, s.options.Observe),
		AttemptTimeout: s.attemptTimeout(), MaxClaim: maxClaim(c), MaxClaimMemory: c.Bodies.Memory, StreamFiles: true,
		Sources: s.served.Load().ofWorker(s.client), Ring: s.ring, RequireSeal: c.Seal.Require,
	}
	if s.governor != nil {
		cfg.Limiter = s.governor
	}
	return worker.New(js, s.deliverer, cfg)
}

// attemptTimeout is enough for two requests around a 401, and the token between them.
func (s *Service) attemptTimeout() time.Duration {
	most := 2*s.config.Redox.Timeout + time.Minute
	if s.config.Redox.Offload.Enabled { // uploads come first; those that are done are not repeated
		most *= 2
	}
	return most
}

// workerID tells the workers of one process apart; "" is the default.
func (s *Service) workerID() string {
	if s.options.Name == "" {
		return ""
	}
	return worker.Config{}.WithDefaults().ID + "-" + s.options.Name
}

// inTurn has the first observer told of an event before the second, which is the program's own
// and may panic. Either may be nil.
func inTurn(first, second func(worker.Event)) func(worker.Event) {
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	}
	return func(e worker.Event) { first(e); second(e) }
}

// orOff turns the configuration's "0 means never" into the library's −1.
func orOff[T time.Duration | int](v T) T {
	if v == 0 {
		return -1
	}
	return v
}
