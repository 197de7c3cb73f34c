package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/service"
)

// runCommand is the daemon.
type runCommand struct{}

// Run delivers until a signal, then drains and exits 0.
func (runCommand) Run(ctx context.Context, a *cli.App) error {
	c, err := a.Load(0)
	if err != nil {
		return err
	}
	log, err := a.Logger(c.Log)
	if err != nil {
		return err
	}
	tuneGC(a, c.Worker.Concurrency)
	settings := a.Settings(0)
	s, err := service.New(*c, service.Options{Settings: &settings, Logger: log, Registerer: newRegistry(), Version: a.Version})
	if err != nil {
		return err
	}
	undo := a.OnHangup(func() {
		log.Info("hangup: reading the configuration again")
		s.Reread()
	})
	defer undo()
	return s.Run(ctx)
}

// newRegistry is for the metrics of a process: those of Go and the process are in it.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
