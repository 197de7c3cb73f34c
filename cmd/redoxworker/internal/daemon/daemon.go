// Package daemon runs a worker/service as a process does that is a command: configured by the files,
// the environment and the flags of that command, with the metrics of the process, read again at
// SIGHUP, and known to systemd where that started it.
package daemon

import (
	"context"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/consolecmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/sqlcmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/telemetry"
	"github.com/redoxworker/redoxworker/worker/service"
)

// Run delivers until ctx ends, then drains and returns nil.
func Run(ctx context.Context, a *cli.App) error {
	c, err := a.Load(0)
	if err != nil {
		return err
	}
	log, level, err := a.LeveledLogger(c.Log)
	if err != nil {
		return err
	}
	tuneGC(a, c.Worker.Concurrency)
	traces, flush, err := telemetry.Traces(ctx, a, log)
	if err != nil {
		return err
	}
	if traces != nil {
		defer flush()
	}
	settings := a.Settings(0)
	db, err := sqlcmd.Open(c.Outbox)
	if err != nil {
		return err
	}
	if db != nil {
		defer func() { _ = db.Close() }()
	}
	s, err := service.New(*c, service.Options{Database: db, Listen: sqlcmd.Listen, Settings: &settings, Logger: log, Level: level, TracerProvider: traces, Registerer: NewRegistry(), Version: a.Version})
	if err != nil {
		return err
	}
	console, err := consolecmd.Open(ctx, c, log, a.Version)
	if err != nil {
		s.Close()
		return err
	}
	if console != nil {
		console.PublicKeys = publicKeys(s)
	}
	manager := newSystemd(s.Status, log)
	undo := a.OnHangup(func() {
		log.Info("hangup: reading the configuration again")
		manager.reload(s.Reread)
	})
	defer undo()
	defer manager.start(ctx)()
	if console == nil {
		return s.Run(ctx)
	}
	var beside sync.WaitGroup
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	beside.Go(func() { console.Beside(serving) })
	err = s.Run(ctx) // what drains is still to be seen
	stop()
	beside.Wait()
	return err
}

// publicKeys serves the set of the public keys of s, at whatever path it is asked for.
func publicKeys(s *service.Service) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = service.PathJWKS, ""
		s.Handler().ServeHTTP(w, r)
	})
}

// NewRegistry is for the metrics of a process: those of Go and the process are in it.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
