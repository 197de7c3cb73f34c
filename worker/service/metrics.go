package service

import (
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/worker/service/feed"
)

// registration is where the parts of a service register their metrics. It labels them with the
// service's name, and takes them back at the end, so that another may register the same.
type registration struct {
	under prometheus.Registerer

	mu   sync.Mutex
	done []prometheus.Collector
}

// register answers the registration of a service, and what shows all metrics of its registry;
// nil when that is not known.
func (o Options) register(version string) (*registration, prometheus.Gatherer, error) {
	under, gatherer := o.Registerer, o.Gatherer
	if under == nil {
		under = prometheus.NewRegistry()
	}
	if g, ok := under.(prometheus.Gatherer); ok && gatherer == nil {
		gatherer = g
	}
	if o.Name != "" {
		under = prometheus.WrapRegistererWith(prometheus.Labels{"service": o.Name}, under)
	}
	r := &registration{under: under}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "redoxworker_build_info",
		Help: "1, with the version of the program.", ConstLabels: prometheus.Labels{"version": version}})
	if err := r.Register(info); err != nil { // before anything else, and not when it runs
		return nil, nil, fmt.Errorf("service: another service has its metrics in this registry; give each an Options.Name of its own: %w", err)
	}
	info.Set(1)
	return r, gatherer, nil
}

// Register registers c until the end of the service.
func (r *registration) Register(c prometheus.Collector) error {
	err := r.under.Register(c)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.done = append(r.done, c)
	}
	return err
}

// MustRegister implements [prometheus.Registerer].
func (r *registration) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister implements [prometheus.Registerer].
func (r *registration) Unregister(c prometheus.Collector) bool {
	r.mu.Lock()
	r.done = slices.DeleteFunc(r.done, func(one prometheus.Collector) bool { return one == c })
	r.mu.Unlock()
	return r.under.Unregister(c)
}

// close takes everything back.
func (r *registration) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.done {
		r.under.Unregister(c)
	}
	r.done = nil
}

// countSources registers how many sources are served, and how many files and entries are refused.
func (s *Service) countSources() {
	if !s.feed.Needed() {
		return
	}
	for state, count := range map[string]func(feed.Status) int{
		"served":  func(now feed.Status) int { return now.Sources },
		"refused": func(now feed.Status) int { return now.Refused },
	} {
		s.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "redoxworker_sources",
			Help: "Sources that are served, and files and entries of the registry that are refused.", ConstLabels: prometheus.Labels{"state": state}},
			func() float64 { return float64(count(s.feed.Status())) }))
	}
}
