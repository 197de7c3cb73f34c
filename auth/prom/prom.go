// Package prom counts for Prometheus what the caches of package auth do. It is
// apart from package auth so that only they link a client of Prometheus who want
// one.
//
//	metrics, err := prom.New(prometheus.DefaultRegisterer)
//	cache, err := auth.NewCache(oauth, auth.CacheConfig{Name: "main", Metrics: metrics})
//	remove, err := metrics.Add(cache)
package prom

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/auth"
)

const namespace, subsystem, label = "redoxworker", "auth", "key"

// results are those of requests for tokens.
var results = []string{"ok", "temporary", "heals", "permanent"}

// gauge is what is read of a cache at each scrape.
type gauge struct {
	desc *prometheus.Desc
	read func(auth.Status) float64
}

// Metrics is an [auth.Metrics] and a [prometheus.Collector] of the families
// redoxworker_auth_*, with the label key: the name of a cache. Safe for
// concurrent use.
type Metrics struct {
	mints         *prometheus.CounterVec
	seconds       *prometheus.HistogramVec
	invalidations *prometheus.CounterVec
	fallbacks     *prometheus.CounterVec
	gauges        []gauge

	mu     sync.Mutex
	caches map[string]*auth.Cache
}

// New returns the Metrics of a registry, which it registers there unless they are
// there already.
func New(r prometheus.Registerer) (*Metrics, error) {
	if r == nil {
		return nil, errors.New("prom: there is no registerer: give a *prometheus.Registry")
	}
	m := &Metrics{
		mints: counters("mints_total", "Requests for a token, by result: ok, temporary, heals, permanent.", label, "result"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "mint_seconds",
			Help:    "Time that a request for a token took.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{label}),
		invalidations: counters("invalidations_total", "Tokens that were dropped because the API refused them.", label),
		fallbacks:     counters("key_fallbacks_total", "Switches between the current and the next key.", label),
		gauges: []gauge{
			newGauge("usable", "1 while a token can be handed out, else 0.", usable),
			newGauge("token_expiry_timestamp_seconds", "End of the token that lives longest, 0 without one.", func(s auth.Status) float64 { return unixSeconds(s.Expires) }),
			newGauge("failures", "Requests for a token that failed since one succeeded.", func(s auth.Status) float64 { return float64(s.Failures) }),
			newGauge("clock_skew_seconds", "How far the local clock is ahead of the token endpoint's.", func(s auth.Status) float64 { return s.Skew.Seconds() }),
		},
		caches: make(map[string]*auth.Cache),
	}
	err := r.Register(m)
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if old, same := known.ExistingCollector.(*Metrics); same {
			return old, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("prom: %w", err)
	}
	return m, nil
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
}

func newGauge(name, help string, read func(auth.Status) float64) gauge {
	return gauge{prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, []string{label}, nil), read}
}

func usable(s auth.Status) float64 {
	if s.Usable {
		return 1
	}
	return 0
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// Add shows the state of a cache as well, and its counters from 0 on, until remove
// is called: then all that has its name is gone. Two caches of one name at the same
// time are an error.
func (m *Metrics) Add(c *auth.Cache) (remove func(), err error) {
	if c == nil {
		return nil, errors.New("prom: there is no Cache: give what auth.NewCache returned")
	}
	name := c.Status().Name
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.caches[name] != nil {
		return nil, fmt.Errorf("prom: a cache of the name %q is there already: give each its own name", name)
	}
	m.caches[name] = c
	for _, result := range results {
		m.mints.WithLabelValues(name, result) // so that the first failure shows as a step from 0
	}
	m.seconds.WithLabelValues(name)
	m.invalidations.WithLabelValues(name)
	m.fallbacks.WithLabelValues(name)
	return func() { m.remove(name, c) }, nil
}

// remove takes back what Add did, once.
func (m *Metrics) remove(name string, c *auth.Cache) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.caches[name] != c {
		return
	}
	delete(m.caches, name)
	own := prometheus.Labels{label: name}
	m.mints.DeletePartialMatch(own)
	m.seconds.Delete(own)
	m.invalidations.Delete(own)
	m.fallbacks.Delete(own)
}

// Minted serves [auth.Metrics].
func (m *Metrics) Minted(name, result string, took time.Duration) {
	m.mints.WithLabelValues(name, result).Inc()
	m.seconds.WithLabelValues(name).Observe(took.Seconds())
}

// Invalidated serves [auth.Metrics].
func (m *Metrics) Invalidated(name string) { m.invalidations.WithLabelValues(name).Inc() }

// FellBack serves [auth.Metrics].
func (m *Metrics) FellBack(name string) { m.fallbacks.WithLabelValues(name).Inc() }

// Describe serves [prometheus.Collector].
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.counted() {
		c.Describe(to)
	}
	for _, g := range m.gauges {
		to <- g.desc
	}
}

// Collect serves [prometheus.Collector].
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.counted() {
		c.Collect(to)
	}
	m.mu.Lock()
	caches := slices.Collect(maps.Values(m.caches))
	m.mu.Unlock()
	for _, c := range caches {
		s := c.Status()
		for _, g := range m.gauges {
			to <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, g.read(s), s.Name)
		}
	}
}

func (m *Metrics) counted() []prometheus.Collector {
	return []prometheus.Collector{m.mints, m.seconds, m.invalidations, m.fallbacks}
}
