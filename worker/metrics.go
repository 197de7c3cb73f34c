package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox"
)

// metrics of one worker. No label holds anything of a message but its source and lane.
type metrics struct {
	settled      *prometheus.CounterVec
	attempts     *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	age          *prometheus.HistogramVec
	ignored      *prometheus.CounterVec
	paused       *prometheus.GaugeVec
	settleErrors prometheus.Counter
	pullErrors   prometheus.Counter
	leasesLost   prometheus.Counter
	unknown      *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "redoxworker_" + name, Help: help}, labels)
	}
	histogram := func(name, help string, first float64, n int) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "redoxworker_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(first, 2, n)}, []string{"source"})
	}
	m := &metrics{
		settled:  counter("settled_total", "Messages settled.", "source", "lane", "settlement"),
		attempts: counter("attempts_total", "Delivery tries by what followed: settled, retry, wait or abandon.", "source", "outcome"),
		duration: histogram("attempt_duration_seconds", "Duration of delivery attempts.", 0.001, 18),
		age:      histogram("message_age_seconds", "Time from a message being stored to its confirmed settlement.", 0.001, 28),
		ignored:  counter("ignored_deliveries_total", "Deliveries left alone, because the worker has the message in flight already or its lease may have ended in the buffer.", "reason"),
		paused: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "redoxworker_paused",
			Help: "1 while a scope (a key, a host, an egress group) is paused."}, []string{"scope"}),
		settleErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "redoxworker_settle_errors_total", Help: "Settlement steps that had to be repeated."}),
		pullErrors:   prometheus.NewCounter(prometheus.CounterOpts{Name: "redoxworker_pull_errors_total", Help: "Pulls that failed or missed their heartbeat."}),
		leasesLost:   prometheus.NewCounter(prometheus.CounterOpts{Name: "redoxworker_leases_lost_total", Help: "Messages whose lease could not be renewed."}),
		unknown:      counter("unknown_outcomes_total", "Attempts whose outcome is unknown: Redox may have the message.", "source"),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.settled, m.attempts, m.duration, m.age, m.ignored, m.paused,
		m.settleErrors, m.pullErrors, m.leasesLost, m.unknown} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

var actionNames = [...]string{settled: "settled", retry: "retry", wait: "wait", abandon: "abandon"}

// attempt notes the end of an attempt.
func (m *metrics) attempt(d *delivery, v verdict, took time.Duration) {
	m.attempts.WithLabelValues(d.message.Source, actionNames[v.action]).Inc()
	m.duration.WithLabelValues(d.message.Source).Observe(took.Seconds())
	if v.unknown {
		m.unknown.WithLabelValues(d.message.Source).Inc()
	}
}

// outcome notes the end of a delivery.
func (m *metrics) outcome(d *delivery, v verdict, kind EventKind) {
	switch kind {
	case EventSettled:
		m.settled.WithLabelValues(sourceLabel(d.message), string(d.lane.kind), string(v.settlement)).Inc()
		m.age.WithLabelValues(sourceLabel(d.message)).Observe(time.Since(d.message.Stored).Seconds())
	case EventAbandoned:
		m.leasesLost.Inc()
	}
}

func sourceLabel(m outbox.Message) string {
	if m.Source == "" {
		return "unknown"
	}
	return m.Source
}
