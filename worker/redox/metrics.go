package redox

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
)

// metrics count requests, not messages; no label grows with traffic or configuration.
type metrics struct {
	status   map[string]prometheus.Counter
	duration prometheus.Histogram
	opened   prometheus.Counter
	reused   prometheus.Counter
	replays  prometheus.Counter
	foreign  prometheus.Counter
	// files of messages, see Offload
	uploaded   prometheus.Counter
	remembered prometheus.Counter
	left       map[leftReason]prometheus.Counter
}

// statusClasses are the values of the status label; "none" is a request without answer.
var statusClasses = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "redoxworker_redox_requests_total",
		Help: "Requests to Redox by class of the answer's status; none: no answer came.",
	}, []string{"status"})
	connections := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "redoxworker_redox_connections_total",
		Help: "Connections that requests got, by whether they were reused.",
	}, []string{"reused"})
	duration := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "redoxworker_redox_request_seconds",
		Help:    "Time from asking for a connection to the last byte of the answer.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 150},

		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
	})
	replays := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "redoxworker_redox_resends_total",
		Help: "Requests sent a second time with a new token after a 401.",
	})
	files := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "redoxworker_redox_offloaded_files_total",
		Help: "Files inside messages that were replaced by their URI, by whether they were uploaded or had been by an earlier attempt.",
	}, []string{"upload"})
	left := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "redoxworker_redox_files_left_total",
		Help: "What may be a large file and was not replaced by a URI, by reason, at each attempt; with too_large and refused the message is not sent.",
	}, []string{"reason"})
	foreign := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "redoxworker_redox_foreign_answers_total",
		Help: "Answers that Redox cannot have given, as those of a gateway or a sign-in page.",
	})
	if r != nil {
		var errs [7]error
		requests, errs[0] = register(r, requests)
		connections, errs[1] = register(r, connections)
		duration, errs[2] = register(r, duration)
		replays, errs[3] = register(r, replays)
		files, errs[4] = register(r, files)
		foreign, errs[5] = register(r, foreign)
		left, errs[6] = register(r, left)
		if err := errors.Join(errs[:]...); err != nil {
			return nil, err
		}
	}
	m := &metrics{
		status:   make(map[string]prometheus.Counter, len(statusClasses)),
		duration: duration,
		opened:   connections.WithLabelValues("false"),
		reused:   connections.WithLabelValues("true"),
		replays:  replays,
		foreign:  foreign,
		uploaded: files.WithLabelValues("now"), remembered: files.WithLabelValues("before"),
		left: make(map[leftReason]prometheus.Counter, len(leftReasons)),
	}
	for _, why := range leftReasons {
		m.left[why] = left.WithLabelValues(string(why))
	}
	for _, class := range statusClasses {
		m.status[class] = requests.WithLabelValues(class)
	}
	return m, nil
}

// register returns the collector that is registered already, if there is one, so that
// several clients of a process may share a registry.
func register[C prometheus.Collector](r prometheus.Registerer, c C) (C, error) {
	err := r.Register(c)
	if already := (prometheus.AlreadyRegisteredError{}); errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing, nil
		}
	}
	return c, err
}

func (m *metrics) observe(status int, took time.Duration, w *httpwire.Watch) {
	class := statusClasses[0]
	if n := status / 100; n > 0 && n < len(statusClasses) {
		class = statusClasses[n]
	}
	m.status[class].Inc()
	m.duration.Observe(took.Seconds())
	switch {
	case w.Got && w.Reused:
		m.reused.Inc()
	case w.Got:
		m.opened.Inc()
	}
}
