package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/logsample"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// runCommand is the daemon.
type runCommand struct{}

// Run delivers until a signal, then drains and exits 0.
func (runCommand) Run(ctx context.Context, a *app) error {
	c, err := a.load(0)
	if err != nil {
		return err
	}
	log, err := a.logger(c.Log)
	if err != nil {
		return err
	}
	log = logsample.Wrap(log) // one for all parts: token caches have none of their own
	defer logsample.Flush(log)
	a.tuneGC(c.Worker.Concurrency)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	d, err := newDaemon(wiring{config: c, log: log, registerer: registry}, registry)
	if err != nil {
		return err
	}
	defer d.close()
	return d.run(ctx)
}

// daemon is everything that `run` runs.
type daemon struct {
	wiring
	gatherer prometheus.Gatherer
	keys     map[string]*credentials
	client   *redox.Client
	shown    *clientCertificate
	closers  []io.Closer
	// what the admin listener looks at; nil until there is one
	conn    atomic.Pointer[nats.Conn]
	running atomic.Pointer[worker.Worker]
	// link follows the connection; connected is closed when there is the first.
	link      *natsLink
	connected chan struct{}
	// answering is nil until there is a gateway
	answering atomic.Pointer[outbox.Gateway]
	upkeep    upkeep
}

// newDaemon builds what needs no connection, so that a mistake in the configuration shows
// before anything starts.
func newDaemon(w wiring, gatherer prometheus.Gatherer) (*daemon, error) {
	transport, shown, err := w.transport()
	if err != nil {
		return nil, usageError{err}
	}
	d := &daemon{gatherer: gatherer, shown: shown, link: newNATSLink(w.log, w.config.NATS.URL.String(), true), connected: make(chan struct{})}
	shown.changed(transport.CloseIdleConnections)
	w.tokens = d.tokensChanged
	if err := w.openGovernor(); err != nil {
		return nil, usageError{err}
	}
	if d.keys, err = w.credentials(w.tokenTransport(transport)); err != nil {
		return nil, err
	}
	w.config, w.uploads = withoutKeySecrets(w.config), new(lateUploads)
	if d.client, err = w.client(transport, d.keys); err != nil {
		return nil, usageError{err}
	}
	if err := w.openLogs(transport, d.keys); err != nil {
		return nil, err
	}
	if err := w.openAudit(); err != nil {
		return nil, err
	}
	d.wiring = w
	if w.auditFile != nil {
		d.closers = append(d.closers, w.auditFile)
	}
	d.closers = append(d.closers, closerFunc(transport.CloseIdleConnections))
	return d, nil
}

// tokensChanged sends a message as soon as a key that was paused has a token again. The
// end of a pause would come by itself, but up to a minute later.
func (d *daemon) tokensChanged(key string, usable bool) {
	if w := d.running.Load(); w != nil && usable {
		w.Probe(redox.KeyScope(key))
	}
}

func (d *daemon) close() {
	for _, c := range d.closers {
		_ = c.Close()
	}
}

type closerFunc func()

func (f closerFunc) Close() error { f(); return nil }

// run starts the admin listener first, so that a worker that waits for NATS can say so,
// and stops it last. Tokens are kept until the worker has drained: attempts in flight may
// still need one.
func (d *daemon) run(ctx context.Context) error {
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	background, fail := errgroup.WithContext(serving)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if d.config.Admin.Listen != "" {
		listener, err := listenAdmin(d.config.Admin.Listen)
		if err != nil {
			return err
		}
		d.log.Info("admin listener", "address", listener.Addr().String())
		if err := distinct(d.publicKeys()); err != nil {
			d.log.Warn("the set of all public keys lacks one; that of each key alone is complete", "set", jwksPath, "of_a_key", jwksOfKey+"NAME", "reason", err)
		}
		background.Go(func() error { return serve(fail, listener, d.handler(), d.log) })
	}
	background.Go(func() error { d.link.watch(fail); return nil })
	background.Go(func() error { return d.keep(fail, d.keys, d.connected) })
	background.Go(func() error { return d.shown.keep(fail, d.log) })
	context.AfterFunc(fail, func() { cancel(context.Cause(fail)) })

	err := d.deliver(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // stopped while still waiting for NATS
	}
	stopServing()
	return errors.Join(err, background.Wait())
}

// deliver connects and runs worker and gateway until ctx ends.
func (d *daemon) deliver(ctx context.Context) error {
	servers := slog.Any("servers", d.config.NATS.URL)
	if serversOfContext(d.config) {
		servers = slog.String("context", d.config.NATS.Context)
	}
	d.log.Info("nats: connecting", servers)
	conn, js, err := connectBy(ctx, d.config, d.link)
	if err != nil {
		return err
	}
	defer conn.Close()
	d.conn.Store(conn)
	d.uploads.connect(js, d.config)
	if err := d.checkPartitions(ctx, js); err != nil {
		return err
	}
	if d.config.NATS.Provision == config.ProvisionAuto {
		if err := d.provision(ctx, js); err != nil {
			return err
		}
	}
	defer d.govern(ctx, js)() // ends after the last attempt
	close(d.connected)
	told, stopReconciling, err := d.reconcile(ctx, js)
	if err != nil {
		return err
	}
	defer stopReconciling() // after the last message was settled
	w, err := told.worker(js, d.client)
	if err != nil {
		return err
	}
	d.running.Store(w)
	gateway, err := d.gateway(conn, js, w.ServerTime)
	if err != nil {
		return err
	}
	d.answering.Store(gateway)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.Run(ctx) })
	group.Go(func() error { d.collect(ctx, js); return nil })
	group.Go(func() error { d.lookAfter(ctx, js); return nil })
	if gateway != nil {
		group.Go(func() error { return runGateway(ctx, gateway, d.log) })
	}
	return group.Wait()
}

// checkPartitions refuses to serve a queue that has another number of partitions than is
// configured: the messages of some would be read by nobody, or a number that other workers
// know would be changed behind their backs.
func (d *daemon) checkPartitions(ctx context.Context, js jetstream.JetStream) error {
	prefix, want := outbox.Prefix(d.config.NATS.Prefix), d.config.Order.Partitions
	have, err := outbox.Partitions(ctx, js, prefix)
	if err != nil {
		d.log.Warn("whether the queue has as many partitions as order.partitions says is not known", "error", err)
		return nil
	}
	if have > 0 && have != want {
		return usagef("order.partitions: %d, and %s has %d; set %d, or change the queue with `redoxworker provision --drain` and start all its workers anew",
			want, prefix.OutStream(), have, have)
	}
	return nil
}

// provision ensures the topology; what it refuses to change is left to a person.
func (d *daemon) provision(ctx context.Context, js jetstream.JetStream) error {
	changes, err := topology(d.config).Ensure(ctx, js)
	for _, c := range changes {
		d.log.Info("provision", "action", c.Action, "kind", c.Kind, "name", c.Name, "detail", c.Detail)
	}
	if errors.Is(err, outbox.ErrRefused) {
		d.log.Warn("provision: some differences were left as they are; see redoxworker provision --dry-run", "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("provision (or set nats.provision: never): %w", err)
	}
	return nil
}

// runGateway keeps the gateway up: that it cannot start does not stop deliveries.
func runGateway(ctx context.Context, g *outbox.Gateway, log *slog.Logger) error {
	for ctx.Err() == nil {
		err := g.Run(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		log.Error("the gateway stopped; starting it again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
	return nil
}
