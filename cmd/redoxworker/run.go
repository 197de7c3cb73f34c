package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/redoxworker/redoxworker/worker/service"
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
	a.tuneGC(c.Worker.Concurrency)
	settings := a.settings(0)
	s, err := service.New(*c, service.Options{Settings: &settings, Logger: log, Registerer: newRegistry(), Version: buildVersion})
	if err != nil {
		return err
	}
	if a.hangup != nil && !isTerminal(a.stdin) {
		reread := func() {
			log.Info("hangup: reading the configuration again")
			s.Reread()
		}
		a.hangup.reread.Store(&reread)
		defer a.hangup.reread.Store(nil)
	}
	return s.Run(ctx)
}

// newRegistry is for the metrics of a process: those of Go and the process are in it.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
