package quota

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one Governor.
type metrics struct {
	sent     [classes]prometheus.Counter
	waited   [classes]prometheus.Observer
	failures prometheus.Counter
}

func newMetrics(r prometheus.Registerer, g *Governor) (*metrics, error) {
	sent := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "redoxworker_quota_requests_total",
		Help: "Requests made under the quota, by what they were for: request, send or token."}, []string{"for"})
	waited := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "redoxworker_quota_wait_seconds",
		Help:    "Time that requests waited for the quota, of those that had to; also of pulls, which look for a message once one may be sent.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100}, []string{"for"})
	m := &metrics{failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "redoxworker_quota_failed_turns_total",
		Help: "Turns at the shared book of the quota that failed, as when NATS is away."})}
	for c, name := range classNames {
		m.sent[c], m.waited[c] = sent.WithLabelValues(name), waited.WithLabelValues(name)
	}
	if r == nil {
		return m, nil
	}
	const fleet = " Of the fleet: every worker says the same, so take max, not sum."
	gauge := func(name, help string, value func(Status) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "redoxworker_quota_" + name, Help: help},
			func() float64 { return value(g.Status()) })
	}
	var errs []error
	for _, c := range []prometheus.Collector{sent, waited, m.failures,
		gauge("limit", "Requests that the group may make in each window."+fleet, func(s Status) float64 { return float64(s.Fleet.Requests) }),
		gauge("used", "Requests of the group's window that are used or spoken for."+fleet, func(s Status) float64 { return float64(s.Fleet.Used + s.Fleet.Held) }),
		gauge("ratio", "What part of the group's window is used or spoken for, 0 to 1."+fleet, func(s Status) float64 {
			return float64(s.Fleet.Used+s.Fleet.Held) / float64(max(1, s.Fleet.Requests))
		}),
		gauge("pace", "SENDs that are granted a second, while more wait than may go at once; 0 while they are not paced."+fleet, func(s Status) float64 { return s.Fleet.Pace }),
		gauge("waiting", "Requests of this worker that wait for the quota.", func(s Status) float64 { return float64(s.Waiting) }),
		gauge("alone", "1 while this worker cannot share the limit with the others and keeps to its share, else 0.", func(s Status) float64 {
			if s.Trouble != "" {
				return 1
			}
			return 0
		}),
	} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}
