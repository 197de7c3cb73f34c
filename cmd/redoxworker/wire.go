package main

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/quota"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
)

// topology of the configuration.
func topology(c *config.Config) outbox.Topology {
	return outbox.Topology{
		Prefix: outbox.Prefix(c.NATS.Prefix), Replicas: c.NATS.Replicas, Partitions: c.Order.Partitions,
		Sources: slices.Sorted(maps.Keys(c.Sources)), AckWait: c.Worker.AckWait, DeadMaxAge: c.DLQ.MaxAge,
		Audit: c.Audit.Stream, AuditMaxAge: c.Audit.MaxAge, Reconcile: reconcileAge(c),
	}
}

// wiring is what the parts of a running worker share.
type wiring struct {
	config     *config.Config
	log        *slog.Logger
	registerer prometheus.Registerer
	observe    func(worker.Event) // may be nil
	auditFile  *worker.AuditFile  // nil when there is none
	uploads    *lateUploads
	governor   *quota.Governor // nil when no quota is kept
	logs       *platform.Logs  // nil when no logs are followed
	// tokens is told when a key's tokens end and when they can be had again; may be nil.
	tokens func(key string, usable bool)
}

// transport is the one pool of connections to Redox: messages and tokens. shown is what it
// shows to servers that ask for a certificate.
func (w wiring) transport() (t *redox.Transport, shown *clientCertificate, err error) {
	c := w.config.Redox
	if err := checkCA("redox.ca_file", c.CAFile); err != nil {
		return nil, nil, err
	}
	if shown, err = newClientCertificate(c); err != nil {
		return nil, nil, err
	}
	t, err = redox.NewTransport(redox.TransportConfig{
		CAFile: c.CAFile, ProxyURL: c.ProxyURL.Reveal(), Concurrency: w.config.Worker.Concurrency,
		ClientCertificate: shown.get(), IdleTimeout: orOff(c.IdleTimeout), MaxConnectionAge: orOff(c.MaxConnectionAge)})
	return t, shown, err
}

// client to Redox with the credentials of every key.
func (w wiring) client(transport http.RoundTripper, keys map[string]*credentials) (*redox.Client, error) {
	sources := make(map[string]redox.Source, len(w.config.Sources))
	for name, s := range w.config.Sources {
		sources[name] = redox.Source{ID: s.ID, Key: s.Key, KeyType: redox.KeyType(w.config.Keys[s.Key].Type), Environment: s.Environment}
	}
	tokens := make(map[string]redox.Credentials, len(keys))
	for name, k := range keys {
		tokens[name] = k.cache
	}
	return redox.New(sources, tokens, w.redoxConfig(transport))
}

func (w wiring) redoxConfig(transport http.RoundTripper) redox.Config {
	c := w.config.Redox
	return redox.Config{
		BaseURL: c.BaseURL, EndpointPath: c.EndpointPath, BlobURL: c.BlobURL, Group: w.config.Quota.Group,
		Timeout: c.Timeout, MaxBody: c.MaxBody, MaxFile: c.MaxFile, Offload: w.offload(),
		MaxAnswer: c.MaxAnswer.Request, MaxSendAnswer: c.MaxAnswer.Send, Room: worker.AnswerRoom,
		UserAgent: "redoxworker/" + readVersion().Version, Transport: transport, Grant: w.grant(), Logger: w.log, Registerer: w.registerer,
	}
}

// worker of the configuration.
func (w wiring) worker(js jetstream.JetStream, client *redox.Client) (*worker.Worker, error) {
	c := w.config
	cfg := worker.Config{
		Prefix: outbox.Prefix(c.NATS.Prefix), Partitions: c.Order.Partitions, Concurrency: c.Worker.Concurrency,
		AckWait: c.Worker.AckWait, DrainTimeout: orOff(c.Worker.DrainTimeout), ReplyAllow: c.Reply.Allow,
		BreakerAfter: orOff(c.Worker.BreakerAfter),
		Retry: worker.Retry{
			Initial: c.Worker.Retry.Initial, Max: c.Worker.Retry.Max, MaxAge: orOff(c.Worker.Retry.MaxAge),
			RequestMaxAge: c.Worker.Retry.RequestMaxAge, MaxAttempts: c.Worker.Retry.MaxAttempts, PoisonAfter: orOff(c.Worker.Retry.PoisonAfter),
		},
		HoldAfterDeadLetter: c.Order.AfterDeadLetter == config.AfterHold, Audit: w.audit(js),
		Logger: w.log, Registerer: w.registerer, Observe: w.observe,
		AttemptTimeout: 2*c.Redox.Timeout + time.Minute, // two requests around a 401, and the token between them
		MaxClaim:       maxClaim(c), MaxClaimMemory: c.Bodies.Memory, StreamFiles: true,
	}
	if w.governor != nil {
		cfg.Limiter = w.governor
	}
	if c.Redox.Offload.Enabled { // uploads come first; those that are done are not repeated
		cfg.AttemptTimeout *= 2
	}
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		cfg.Sources = append(cfg.Sources, worker.Source{Name: name, Scopes: client.Scopes(name), MessageScopes: hostScopes(client), Hold: holdPolicy(c.Sources[name])})
	}
	return worker.New(js, client, cfg)
}

// holdPolicy decides which messages of a source are held when their outcome is unknown.
func holdPolicy(s config.Source) func(outbox.Message) bool {
	if s.OnUnknown == config.OnUnknownHold {
		return func(m outbox.Message) bool { return m.Lane != outbox.LaneRequest }
	}
	if len(s.Hold) == 0 {
		return nil
	}
	return func(m outbox.Message) bool {
		if m.Lane == outbox.LaneRequest {
			return false
		}
		meta, err := redox.ReadMeta(m.Body)
		return err == nil && slices.ContainsFunc(s.Hold, func(pattern string) bool {
			model, event, _ := strings.Cut(pattern, ".")
			return (model == "*" || model == meta.DataModel) && (event == "*" || event == meta.EventType)
		})
	}
}

// gateway of the configuration; nil when it is switched off.
func (w wiring) gateway(conn *nats.Conn, js jetstream.JetStream, serverTime func() time.Time) (*outbox.Gateway, error) {
	c := w.config
	if !c.Gateway.Enabled {
		return nil, nil
	}
	return outbox.NewGateway(conn, js, outbox.GatewayConfig{
		Prefix: outbox.Prefix(c.NATS.Prefix), Sources: slices.Sorted(maps.Keys(c.Sources)),
		OrderSecret: []byte(c.Order.Secret.Reveal()), MaxWait: c.Gateway.MaxWait, ReplyAllow: c.Reply.Allow, Logger: w.log, Now: serverTime,
	})
}

// orOff turns the configuration's "0 means never" into the library's −1.
func orOff[T time.Duration | int](v T) T {
	if v == 0 {
		return -1
	}
	return v
}
