package meter

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

const (
	lanes       = 3
	settlements = 6
	statuses    = 6
)

var (
	laneNames       = [lanes]contract.Lane{contract.LaneSend, contract.LaneOrdered, contract.LaneRequest}
	settlementNames = [settlements]outbox.Settlement{outbox.Delivered, outbox.Rejected, outbox.Expired, outbox.Exhausted, outbox.Held, outbox.Poison}
	statusNames     = [statuses]string{"unsent", "none", "2xx", "3xx", "4xx", "5xx"}
)

const (
	statusUnsent = 0
	statusNone   = 1
)

func laneOf(lane contract.Lane) int {
	switch lane {
	case contract.LaneOrdered:
		return 1
	case contract.LaneRequest:
		return 2
	}
	return 0
}

func settlementOf(s outbox.Settlement) int {
	for i, name := range settlementNames {
		if name == s {
			return i
		}
	}
	return settlements - 1
}

// statusOf is the class of a status. There is none for 1xx and for what is no status.
func statusOf(status int) int {
	if class := status / 100; class >= 2 && class <= 5 {
		return class
	}
	return statusNone
}

// Source counts what becomes of the messages of one source.
type Source struct {
	name  string
	meter *Meter
	at    atomic.Pointer[series] // its own, or those of all others

	// since they were looked at last
	messages atomic.Int64
	failures atomic.Int64
	need     float64 // under the meter's mutex
}

// series are those of a label value.
type series struct {
	source                     string
	settled                    [lanes][settlements]prometheus.Counter
	attempts                   [statuses]prometheus.Counter
	retries, unknown, repeated prometheus.Counter
	age                        [lanes]lazy
}

// lazy is a histogram that is made when it is used first.
type lazy struct {
	atomic.Pointer[prometheus.Observer]
}

func (l *lazy) of(v *prometheus.HistogramVec, first, second string) prometheus.Observer {
	if o := l.Load(); o != nil {
		return *o
	}
	o := v.WithLabelValues(first, second)
	l.Store(&o)
	return o
}

// seriesOf makes the series of a label value, all of the counters from 0 on.
func (m *Meter) seriesOf(source string) *series {
	s := &series{source: source, retries: m.retries.WithLabelValues(source), unknown: m.unknown.WithLabelValues(source), repeated: m.repeated.WithLabelValues(source)}
	for l, lane := range laneNames {
		for i, settlement := range settlementNames {
			s.settled[l][i] = m.settled.WithLabelValues(source, string(lane), string(settlement))
		}
	}
	for i, status := range statusNames {
		s.attempts[i] = m.attempts.WithLabelValues(source, status)
	}
	s.age[0].of(m.age, source, string(laneNames[0]))
	return s
}

// drop takes the series of a label value away.
func (m *Meter) drop(source string) {
	own := prometheus.Labels{"source": source}
	for _, v := range []*prometheus.CounterVec{m.settled, m.attempts, m.retries, m.unknown, m.repeated} {
		v.DeletePartialMatch(own)
	}
	m.age.DeletePartialMatch(own)
}

// Attempt is the end of an attempt.
type Attempt struct {
	Lane    contract.Lane
	Status  int  // of the answer; 0: none came
	Written bool // a request was
	Again   bool // its message is tried again
	Unknown bool // the far side may have the message
	Took    time.Duration
	Trace   string // id of its trace, if that is kept; "" if not
}

// Attempt counts an attempt that has ended.
func (s *Source) Attempt(a Attempt) {
	own, status := s.at.Load(), statusUnsent
	if a.Written {
		status = statusOf(a.Status)
		lane := laneOf(a.Lane)
		observe(s.meter.took[lane][status].of(s.meter.duration, string(laneNames[lane]), statusNames[status]), a.Took, a.Trace)
	}
	own.attempts[status].Inc()
	if a.Again {
		own.retries.Inc()
		s.failures.Add(1)
	}
	if a.Unknown {
		own.unknown.Inc()
	}
}

// Repeated counts an attempt that may make a duplicate.
func (s *Source) Repeated() { s.at.Load().repeated.Inc() }

// Settled is the end of a message.
type Settled struct {
	Lane       contract.Lane
	Settlement outbox.Settlement
	Age        time.Duration // since it was stored
	Replay     bool          // of a dead letter
	Trace      string        // as in [Attempt]
}

// Settled counts a message that has its settlement.
func (s *Source) Settled(e Settled) {
	own, lane, settlement := s.at.Load(), laneOf(e.Lane), settlementOf(e.Settlement)
	own.settled[lane][settlement].Inc()
	observe(own.age[lane].of(s.meter.age, own.source, string(laneNames[lane])), e.Age, e.Trace)
	s.messages.Add(1)
	if settlement != 0 {
		s.failures.Add(1)
	}
	if e.Replay {
		s.meter.replays[settlement].Inc()
	}
}

// observe names the trace beside the value, where there is one.
func observe(o prometheus.Observer, took time.Duration, trace string) {
	if trace != "" {
		if with, ok := o.(prometheus.ExemplarObserver); ok {
			with.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": trace})
			return
		}
	}
	o.Observe(took.Seconds())
}
