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
		Help: "Time that requests waited for the quota, of those that had to; also of lanes that look for a message once they may send one.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 16)}, []string{"for"})
	m := &metrics{failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "redoxworker_quota_failed_turns_total",
		Help: "Turns at the shared book of the quota that failed, as when NATS is away."})}
	for c, name := range classNames {
		m.sent[c], m.waited[c] = sent.WithLabelValues(name), waited.WithLabelValues(name)
	}
	if r == nil {
		return m, nil
	}
	gauge := func(name, help string, value func(Status) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "redoxworker_quota_" + name, Help: help},
			func() float64 { return float64(value(g.Status())) })
	}
	var errs []error
	for _, c := range []prometheus.Collector{sent, waited, m.failures,
		gauge("limit", "Requests that the group may make in each window.", func(s Status) int { return s.Fleet.Requests }),
		gauge("used", "Requests of the group's window that are used or spoken for.", func(s Status) int { return s.Fleet.Used }),
		gauge("waiting", "Requests of this worker that wait for the quota.", func(s Status) int { return s.Waiting }),
	} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}
