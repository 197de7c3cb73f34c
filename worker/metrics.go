package worker

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// metrics of one worker. No label holds anything of a message but its source and lane.
type metrics struct {
	settled      *prometheus.CounterVec
	attempts     *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	age          *prometheus.HistogramVec
	ignored      *prometheus.CounterVec
	paused       *prometheus.GaugeVec
	limit        prometheus.Gauge
	settleErrors prometheus.Counter
	pullErrors   prometheus.Counter
	leasesLost   prometheus.Counter
	unknown      *prometheus.CounterVec
	duplicates   *prometheus.CounterVec
	claimed      prometheus.Gauge
	backlog      backlog
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
		ignored:  counter("ignored_deliveries_total", "Deliveries left alone, because the worker has the message in flight already.", "reason"),
		paused: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "redoxworker_paused",
			Help: "1 while a scope (a key, a host, an egress group, a source or a destination of one) is paused, by itself or by an operator."}, []string{"scope"}),
		limit:        prometheus.NewGauge(prometheus.GaugeOpts{Name: "redoxworker_concurrency_limit", Help: "Requests that may be in flight at present."}),
		settleErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "redoxworker_settle_errors_total", Help: "Settlement steps that had to be repeated."}),
		pullErrors:   prometheus.NewCounter(prometheus.CounterOpts{Name: "redoxworker_pull_errors_total", Help: "Pulls that failed."}),
		leasesLost:   prometheus.NewCounter(prometheus.CounterOpts{Name: "redoxworker_leases_lost_total", Help: "Messages whose lease could not be renewed."}),
		unknown:      counter("unknown_outcomes_total", "Attempts whose outcome is unknown: Redox may have the message.", "source"),
		claimed:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "redoxworker_claimed_bytes", Help: "Bodies of claim-checked messages in memory."}),
		backlog:      newBacklog(),
		duplicates:   counter("possible_duplicates_total", "Attempts for messages that Redox may have already: from an earlier attempt, or since they may have been published before.", "source"),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.settled, m.attempts, m.duration, m.age, m.ignored, m.paused, m.limit,
		m.settleErrors, m.pullErrors, m.leasesLost, m.unknown, m.duplicates, m.claimed, m.backlog.messages, m.backlog.oldest} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

var actionNames = [...]string{verdict.Settled: "settled", verdict.Retry: "retry", verdict.Wait: "wait", verdict.Abandon: "abandon"}

// series are the metrics of the ordinary messages of a lane, looked up once.
type series struct {
	delivered prometheus.Counter
	settled   prometheus.Counter // attempts
	duration  prometheus.Observer
	age       prometheus.Observer
}

func (m *metrics) series(source string, kind outbox.Lane) *series {
	return &series{
		delivered: m.settled.WithLabelValues(source, string(kind), string(outbox.Delivered)),
		settled:   m.attempts.WithLabelValues(source, actionNames[verdict.Settled]),
		duration:  m.duration.WithLabelValues(source),
		age:       m.age.WithLabelValues(source),
	}
}

// seriesOf returns the metrics of a message. A message that breaks the contract may have no lane.
func (m *metrics) seriesOf(d *delivery) *series {
	l := d.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.series[d.message.Lane]
	if s == nil {
		if s = m.series(l.source, d.message.Lane); l.series == nil {
			l.series = make(map[outbox.Lane]*series, 2)
		}
		l.series[d.message.Lane] = s
	}
	return s
}

// attempt counts an attempt that has ended. An attempted message has the source of its lane.
func (m *metrics) attempt(d *delivery) {
	v := &d.verdict
	if v.Action == verdict.Settled {
		m.seriesOf(d).settled.Inc()
	} else {
		m.attempts.WithLabelValues(d.lane.source, actionNames[v.Action]).Inc()
	}
	m.seriesOf(d).duration.Observe(d.took.Seconds())
	if v.Unknown {
		m.unknown.WithLabelValues(d.lane.source).Inc()
	}
}

// repeated counts an attempt that may make a duplicate.
func (m *metrics) repeated(d *delivery) { m.duplicates.WithLabelValues(d.lane.source).Inc() }

// outcome counts the end of a delivery.
func (m *metrics) outcome(d *delivery, kind EventKind) {
	switch kind {
	case EventSettled:
		if d.verdict.Settlement == outbox.Delivered {
			m.seriesOf(d).delivered.Inc()
		} else {
			m.settled.WithLabelValues(d.lane.source, string(d.message.Lane), string(d.verdict.Settlement)).Inc()
		}
		m.seriesOf(d).age.Observe(time.Since(d.message.Stored).Seconds())
	case EventAbandoned:
		m.leasesLost.Inc()
	}
}

// backlog holds the gauges of what the work queue holds for the worker's sources: messages that
// wait, and messages that any worker has in flight. All workers report the same. A worker reports
// none while NATS does not answer.
type backlog struct {
	messages *prometheus.GaugeVec
	oldest   *prometheus.GaugeVec
	shown    map[[2]string]uint64
}

func newBacklog() backlog {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "redoxworker_queue_" + name, Help: help}, labels)
	}
	return backlog{
		messages: gauge("messages", "Messages in the work queue that are not settled, those in flight included.", "source", "lane"),
		oldest:   gauge("oldest_seconds", "Age of the oldest message in the work queue, of any source; 0 when it is empty."),
	}
}

// show sets the gauges to what a look at the queue found, for served sources that have messages
// or had some. It must not be called concurrently.
func (b *backlog) show(info *jetstream.StreamInfo, prefix outbox.Prefix, served func(source string) bool) {
	count := make(map[[2]string]uint64)
	for subject, n := range info.State.Subjects {
		if source, kind, _, _ := prefix.ParseOut(subject); kind != "" && served(source) {
			count[[2]string{source, string(kind)}] += n
		}
	}
	for key, n := range count {
		b.messages.WithLabelValues(key[0], key[1]).Set(float64(n))
	}
	for key := range b.shown {
		if count[key] == 0 {
			b.messages.WithLabelValues(key[0], key[1]).Set(0)
		}
	}
	b.shown = count
	age := 0.0
	if info.State.Msgs > 0 {
		age = max(0, info.TimeStamp.Sub(info.State.FirstTime).Seconds())
	}
	b.oldest.WithLabelValues().Set(age)
}

// hide resets the gauges: the queue could not be looked at.
func (b *backlog) hide() {
	b.messages.Reset()
	b.oldest.Reset()
	b.shown = nil
}
