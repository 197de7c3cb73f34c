package auth

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace, subsystem = "redoxworker", "auth"

// register adds c to r, or returns what r already has in its place, so that
// several caches share one family.
func register[C prometheus.Collector](r prometheus.Registerer, c C) (C, error) {
	if r == nil {
		return c, nil
	}
	err := r.Register(c)
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if old, same := known.ExistingCollector.(C); same {
			return old, nil
		}
	}
	return c, err
}

// counter returns one key's counter of a family with the label "key".
func counter(r prometheus.Registerer, name, help, key string) (prometheus.Counter, error) {
	v, err := register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: subsystem, Name: name, Help: help,
	}, []string{"key"}))
	if err != nil {
		return nil, err
	}
	return v.WithLabelValues(key), nil
}

// cacheMetrics are one cache's. The names are public API.
type cacheMetrics struct {
	mints         *prometheus.CounterVec // by result
	seconds       prometheus.Observer
	invalidations prometheus.Counter
}

func newCacheMetrics(c *Cache) (*cacheMetrics, error) {
	r, key := c.cfg.Registerer, c.cfg.Name
	mints, err := register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "mints_total",
		Help: "Requests for a token, by result: ok, temporary, heals, permanent.",
	}, []string{"key", "result"}))
	if err != nil {
		return nil, err
	}
	seconds, err := register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "mint_seconds",
		Help:    "Time that a request for a token took.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"key"}))
	if err != nil {
		return nil, err
	}
	invalidations, err := counter(r, "invalidations_total", "Tokens that were dropped because the API refused them.", key)
	if err != nil {
		return nil, err
	}
	m := &cacheMetrics{
		mints:         mints.MustCurryWith(prometheus.Labels{"key": key}),
		seconds:       seconds.WithLabelValues(key),
		invalidations: invalidations,
	}
	if err := c.registerGauges(); err != nil {
		return nil, err
	}
	for _, result := range []string{"ok", temporary.String(), heals.String(), permanent.String()} {
		m.mints.WithLabelValues(result) // so that the first failure shows as a step from 0
	}
	return m, nil
}

// registerGauges adds what is read when it is scraped. Two caches of one name
// in one registerer are an error.
func (c *Cache) registerGauges() error {
	if c.cfg.Registerer == nil {
		return nil
	}
	gauges := []struct {
		name, help string
		read       func(Status) float64
	}{
		{"usable", "1 while a token can be handed out, else 0.", func(s Status) float64 {
			if s.Usable {
				return 1
			}
			return 0
		}},
		{"token_expiry_timestamp_seconds", "End of the token that lives longest, 0 without one.", func(s Status) float64 {
			return unixSeconds(s.Expires)
		}},
		{"failures", "Requests for a token that failed since one succeeded.", func(s Status) float64 {
			return float64(s.Failures)
		}},
		{"clock_skew_seconds", "How far the local clock is ahead of the token endpoint's.", func(s Status) float64 {
			return s.Skew.Seconds()
		}},
	}
	for _, g := range gauges {
		f := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: g.name, Help: g.help,
			ConstLabels: prometheus.Labels{"key": c.cfg.Name},
		}, func() float64 { return g.read(c.Status()) })
		if err := c.cfg.Registerer.Register(f); err != nil {
			return errors.New("a cache of that name has registered its metrics already: give each its own name")
		}
	}
	return nil
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
