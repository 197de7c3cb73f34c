package service

import (
	"cmp"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/gateway"
	"github.com/redoxworker/redoxworker/outbox/logsample"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/quota"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
	"github.com/redoxworker/redoxworker/worker/service/access"
	"github.com/redoxworker/redoxworker/worker/service/buildinfo"
	"github.com/redoxworker/redoxworker/worker/service/feed"
	"github.com/redoxworker/redoxworker/worker/service/natslink"
)

// Service is everything that a configuration asks for, running in this process. Make one with
// [New]. Its methods are safe for concurrent use.
type Service struct {
	options   Options
	config    *config.Config // without the secrets of its keys
	build     buildinfo.Info
	log       *slog.Logger
	metrics   *registration
	gatherer  prometheus.Gatherer // nil when it is not known
	transport *access.Transport
	keys      *access.Keys
	client    *redox.Client
	deliverer worker.Deliverer // the client, in the program's middleware
	ring      *seal.Ring       // nil where nothing is sealed
	governor  *quota.Governor  // nil when no quota is kept
	uploads   *lateUploads
	logs      *platform.Logs // nil when no logs are followed
	auditFile *audit.File    // nil when there is none
	feed      *feed.Feed     // of sources
	link      *natslink.Link
	pages     http.Handler

	served    atomic.Pointer[served] // what is served now
	changing  changing
	started   atomic.Bool
	closing   sync.Once
	connected chan struct{} // closed when there is a connection, and the quota is kept
	upkeep    upkeep
	fleet     fleet
	counts    counts
	// what Status looks at; nil until there is one
	conn    atomic.Pointer[nats.Conn]
	worker  atomic.Pointer[worker.Worker]
	gateway atomic.Pointer[gateway.Gateway]
	relay   atomic.Pointer[sqloutbox.Relay]
}

// New builds a service of a configuration that [config.Load] has checked. It connects to nothing
// and starts nothing, so that a mistake shows before anything runs. An error that a change of the
// settings mends is a [config.Mistake]. c is copied. Call [Service.Run], or, without it,
// [Service.Close].
func New(c config.Config, o Options) (*Service, error) {
	log := cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Name != "" {
		log = log.With("service", o.Name)
	}
	s := &Service{
		options: o, config: access.WithoutKeySecrets(&c), build: buildinfo.Read(o.Version), uploads: new(lateUploads), connected: make(chan struct{}),
		log: logsample.Wrap(log), // one for all parts: token caches have none of their own
	}
	s.served.Store(servedBy(&c))
	if err := s.assemble(&c); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// assemble makes the parts that need no connection. c has the secrets of its keys.
func (s *Service) assemble(c *config.Config) (err error) {
	if c.Worker.Concurrency == 0 || c.Quota.Requests == 0 {
		return config.Mistakef("service: the configuration has no defaults; make it with config.Load, or begin with config.Defaults")
	}
	if err := (outbox.HeaderPolicy{Allow: access.Headers(c)}).Validate(); err != nil {
		return config.Mistakef("redox.headers: %w", err)
	}
	if s.metrics, s.gatherer, err = s.options.register(s.build.Version); err != nil {
		return err
	}
	if s.transport, err = access.NewTransport(c); err != nil {
		return err
	}
	if err = s.openGovernor(); err != nil {
		return err
	}
	s.keys, err = access.NewKeys(c, access.KeysOptions{
		Transport: s.countTokens(s.transport), Logger: s.log, Registerer: s.metrics, Observe: s.tokensChanged, Refused: s.refusedKeys})
	if err != nil {
		return err
	}
	if s.client, err = s.newClient(); err != nil {
		return err
	}
	if s.ring, err = OpenRing(c, s.options.KMS); err != nil {
		return err
	}
	if s.deliverer, err = s.options.wrap(s.client); err != nil {
		return err
	}
	if err = s.openLogs(); err != nil {
		return err
	}
	if err = s.checkOutbox(); err != nil {
		return err
	}
	if err = s.openAudit(); err != nil {
		return err
	}
	s.feed = feed.New(c, feed.Options{Settings: s.options.Settings, Apply: s.SetSources, Unusable: s.keys.Unusable, Level: s.options.level(), Logger: s.log})
	s.countSources()
	s.metrics.MustRegister(&s.fleet, vitals{s})
	s.link = natslink.New(s.log, s.config.NATS.URL.String())
	s.pages = s.newPages()
	return nil
}

// tokensChanged sends a message as soon as a key that was paused has a token again. The
// end of a pause would come by itself, but up to a minute later.
func (s *Service) tokensChanged(key string, usable bool) {
	if w := s.worker.Load(); w != nil && usable {
		w.Probe(redox.KeyScope(key))
	}
}

// Close releases what New opened: idle connections, the audit file, metrics. Run calls it at its
// end; call it for a service that is not to run. Later calls do nothing.
func (s *Service) Close() {
	s.started.Store(true)
	s.closing.Do(func() {
		s.changing.mu.Lock()
		s.changing.ended = true
		s.changing.stop()
		s.changing.mu.Unlock()
		if s.auditFile != nil {
			_ = s.auditFile.Close()
		}
		if s.transport != nil {
			s.transport.CloseIdleConnections()
		}
		if s.metrics != nil {
			s.metrics.close()
		}
		logsample.Flush(s.log)
	})
}
