// Package prom counts for Prometheus what the caches of package auth do. It is
// apart from package auth so that only they link a client of Prometheus who want
// one.
//
//	metrics, err := prom.New(prometheus.DefaultRegisterer)
//	cache, err := auth.NewCache(oauth, auth.CacheConfig{Name: "main", Metrics: metrics})
//	remove, err := metrics.Add(cache)
//
// Up to 100 caches have counters of their own, in the order in which they were added; the
// gauges show as many, those first that cannot hand out a token. All others share the label value
// "(other)".
package prom

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/auth"
)

const namespace, subsystem, keyLabel = "redoxworker", "auth", "key"

// mostKeys is how many caches have series of their own.
const mostKeys = 100

// otherKeys is the label value of all caches beyond that.
const otherKeys = "(other)"

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
	keys          *prometheus.Desc
	gauges        []gauge

	mu      sync.RWMutex
	caches  map[string]*auth.Cache
	own     map[string]bool // names with counters of their own
	refused func() map[string]bool
}

// New returns the Metrics of a registry, which it registers there unless they are
// there already.
func New(r prometheus.Registerer) (*Metrics, error) {
	if r == nil {
		return nil, errors.New("prom: there is no registerer: give a *prometheus.Registry")
	}
	m := &Metrics{
		mints: counters("mints_total", "Requests for a token, by result: ok, temporary, heals, permanent.", keyLabel, "result"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "mint_seconds",
			Help:    "Time that a request for a token took.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},

			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		}, []string{keyLabel}),
		invalidations: counters("invalidations_total", "Tokens that were dropped because the API refused them.", keyLabel),
		fallbacks:     counters("key_fallbacks_total", "Switches between the current and the next key.", keyLabel),
		gauges: []gauge{
			newGauge("usable", "1 while a token can be handed out and the API takes it, else 0.", usable),
			newGauge("token_expiry_timestamp_seconds", "End of the token that lives longest, 0 without one.", func(s auth.Status) float64 { return unixSeconds(s.Expires) }),
			newGauge("failures", "Requests for a token that failed since one succeeded.", func(s auth.Status) float64 { return float64(s.Failures) }),
			newGauge("clock_skew_seconds", "How far the local clock is ahead of the token endpoint's.", func(s auth.Status) float64 { return s.Skew.Seconds() }),
		},
		keys: prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, "keys"),
			"Keys by whether a token can be handed out that the API takes: usable or unusable.", []string{"state"}, nil),
		caches: make(map[string]*auth.Cache), own: make(map[string]bool),
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
	return gauge{prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, []string{keyLabel}, nil), read}
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
	shown := m.labelOf(name)
	for _, result := range results {
		m.mints.WithLabelValues(shown, result) // so that the first failure shows as a step from 0
	}
	m.seconds.WithLabelValues(shown)
	m.invalidations.WithLabelValues(shown)
	m.fallbacks.WithLabelValues(shown)
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
	if !m.own[name] {
		return
	}
	delete(m.own, name)
	own := prometheus.Labels{keyLabel: name}
	m.mints.DeletePartialMatch(own)
	m.seconds.Delete(own)
	m.invalidations.Delete(own)
	m.fallbacks.Delete(own)
}

// Refused has each scrape ask by which names the API refuses tokens that could be handed out: these
// are not usable. f must be quick and safe for concurrent use.
func (m *Metrics) Refused(f func() map[string]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = f
}

// labelOf is the label value under which a cache is counted. The caller holds mu.
func (m *Metrics) labelOf(name string) string {
	if !m.own[name] {
		if len(m.own) >= mostKeys {
			return otherKeys
		}
		m.own[name] = true
	}
	return name
}

// label is labelOf for a caller without mu. A cache that was removed, and whose request ends late,
// takes the place of no other.
func (m *Metrics) label(name string) string {
	m.mu.RLock()
	own := m.own[name]
	m.mu.RUnlock()
	if own {
		return name
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.caches[name] == nil {
		return otherKeys
	}
	return m.labelOf(name)
}

// Minted implements [auth.Metrics].
func (m *Metrics) Minted(name, result string, took time.Duration) {
	name = m.label(name)
	m.mints.WithLabelValues(name, result).Inc()
	m.seconds.WithLabelValues(name).Observe(took.Seconds())
}

// Invalidated implements [auth.Metrics].
func (m *Metrics) Invalidated(name string) { m.invalidations.WithLabelValues(m.label(name)).Inc() }

// FellBack serves [auth.Metrics].
func (m *Metrics) FellBack(name string) { m.fallbacks.WithLabelValues(m.label(name)).Inc() }

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.counted() {
		c.Describe(to)
	}
	to <- m.keys
	for _, g := range m.gauges {
		to <- g.desc
	}
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.counted() {
		c.Collect(to)
	}
	all, good := m.statuses()
	for state, n := range map[string]int{"usable": good, "unusable": len(all) - good} {
		to <- prometheus.MustNewConstMetric(m.keys, prometheus.GaugeValue, float64(n), state)
	}
	for _, s := range all[:min(mostKeys, len(all))] {
		for _, g := range m.gauges {
			to <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, g.read(s), s.Name)
		}
	}
}

// statuses are those of all caches, those first that need somebody to look at them, and how many are
// usable.
func (m *Metrics) statuses() (all []auth.Status, good int) {
	m.mu.RLock()
	caches, refused := slices.Collect(maps.Values(m.caches)), m.refused
	m.mu.RUnlock()
	var bad map[string]bool
	if refused != nil {
		bad = refused()
	}
	for _, c := range caches {
		s := c.Status()
		if s.Usable = s.Usable && !bad[s.Name]; s.Usable {
			good++
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b auth.Status) int {
		return cmp.Or(cmp.Compare(usable(a), usable(b)), cmp.Compare(b.Failures, a.Failures), cmp.Compare(a.Name, b.Name))
	})
	return all, good
}

func (m *Metrics) counted() []prometheus.Collector {
	return []prometheus.Collector{m.mints, m.seconds, m.invalidations, m.fallbacks}
}
