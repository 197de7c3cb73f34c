package reconcile

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
)

// metrics of one process. No label grows with traffic.
type metrics struct {
	followed prometheus.Counter
	dropped  prometheus.Counter
	errors   prometheus.Counter
	lookups  *prometheus.CounterVec
	outcomes *prometheus.CounterVec
	// unfollowed by the kind of message
	unfollowed map[outbox.Kind]prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "redoxworker_reconcile_" + name, Help: help})
	}
	vector := func(name, label, help string, values ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "redoxworker_reconcile_" + name, Help: help}, []string{label})
		for _, value := range values {
			v.WithLabelValues(value)
		}
		return v
	}
	m := &metrics{
		followed: counter("followed_total", "Logs of delivered messages that were put aside to be looked up."),
		dropped:  counter("dropped_total", "Logs that are not followed, because NATS did not take them in time."),
		errors:   counter("errors_total", "Lookups that Redox did not answer."),
		lookups: vector("lookups_total", "status", "Logs looked up, by the status Redox reported; missing: it showed no such log.",
			string(platform.Succeeded), string(platform.Failed), string(platform.Filtered), string(platform.Pending), statusMissing, statusOther),
		outcomes: vector("logs_total", "outcome", "Logs followed to their end, by what that was; unconfirmed: given up.",
			string(platform.Succeeded), Failed, string(platform.Filtered), Unconfirmed),
		unfollowed: map[outbox.Kind]prometheus.Counter{},
	}
	unfollowed := vector("unfollowed_total", "kind", "Delivered messages that cannot be followed, as Redox named no log in its answer, by kind.")
	for _, kind := range [...]outbox.Kind{outbox.KindDataModel, outbox.KindFHIR, outbox.KindFile, outbox.KindPlatform} {
		m.unfollowed[kind] = unfollowed.WithLabelValues(string(kind))
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(unfollowed), r.Register(m.followed), r.Register(m.dropped), r.Register(m.errors), r.Register(m.lookups), r.Register(m.outcomes))
}

const (
	statusMissing = "missing"
	statusOther   = "other"
)

// lookup counts an answer. What Redox does not document must not become a label.
func (m *metrics) lookup(s platform.Status) {
	label := string(s)
	switch s {
	case platform.Succeeded, platform.Failed, platform.Filtered, platform.Pending:
	case "":
		label = statusMissing
	default:
		label = statusOther
	}
	m.lookups.WithLabelValues(label).Inc()
}

// unfollow counts a message; kinds are those of the contract.
func (m *metrics) unfollow(kind outbox.Kind) {
	if c := m.unfollowed[kind]; c != nil {
		c.Inc()
	}
}

func (m *metrics) outcome(outcome string) { m.outcomes.WithLabelValues(outcome).Inc() }
