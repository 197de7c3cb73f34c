package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/logsample"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
)

// Look asks Redox for one log. It is the Look method of [platform.Logs]: it must return
// soon after ctx ends, wrap [platform.ErrNoLog] when there is none, and hold no secret in
// its error.
type Look func(ctx context.Context, id string) (platform.Log, error)

// Config of a [Reconciler]. The zero value works.
type Config struct {
	// Prefix of subjects and streams. Default "redox".
	Prefix contract.Prefix
	// Interval is the age at which a log is looked at first. Default 1m.
	Interval time.Duration
	// GiveUp is the age at which a log is no longer followed. Default 24h. It must be the
	// Reconcile of the topology.
	GiveUp time.Duration
	// Pace is the least time between two lookups of this process. Default 800ms, a
	// twentieth of the 7,500 requests per 5 minutes that Redox allows.
	Pace time.Duration
	// Logger; nil discards.
	Logger *slog.Logger
	// Registerer of the redoxworker_reconcile_* metrics; nil means they are not registered.
	Registerer prometheus.Registerer
}

// WithDefaults returns c with every default filled in.
func (c Config) WithDefaults() Config {
	c.Prefix = cmp.Or(c.Prefix, "redox")
	c.Interval = cmp.Or(c.Interval, time.Minute)
	c.GiveUp = cmp.Or(c.GiveUp, 24*time.Hour)
	c.Pace = cmp.Or(c.Pace, 800*time.Millisecond)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every problem of c, each named by its field. It expects defaults
// filled in.
func (c Config) Validate() error {
	errs := []error{c.Prefix.Validate()}
	if c.Interval <= 0 {
		errs = append(errs, fmt.Errorf("reconcile: Interval: %v; use more than 0s", c.Interval))
	}
	if c.GiveUp < c.Interval {
		errs = append(errs, fmt.Errorf("reconcile: GiveUp: %v; use at least Interval, %v", c.GiveUp, c.Interval))
	}
	if c.Pace < 0 {
		errs = append(errs, fmt.Errorf("reconcile: Pace: %v; use more than 0s", c.Pace))
	}
	return errors.Join(errs...)
}

// New returns a reconciler that keeps its state through js. It touches nothing yet.
func New(js jetstream.JetStream, look Look, c Config) (*Reconciler, error) {
	if js == nil || look == nil {
		return nil, errors.New("reconcile: New needs a JetStream context and a Look")
	}
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, fmt.Errorf("reconcile: registering metrics: %w", err)
	}
	return &Reconciler{js: js, look: look, config: c, log: logsample.Wrap(c.Logger), metrics: m, queue: make(chan Delivered, maxQueue)}, nil
}
