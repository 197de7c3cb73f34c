package service

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/worker/redox"
)

// counts are what a service counts itself.
type counts struct {
	audited, auditErrors, bodiesRemoved atomic.Int64
}

// vitals shows how a service is.
type vitals struct{ service *Service }

var (
	vitalConnected = prometheus.NewDesc("redoxworker_nats_connected", "1 while there is a connection to NATS, else 0.", nil, nil)
	vitalReconnect = prometheus.NewDesc("redoxworker_nats_reconnects_total", "How often the connection to NATS was made anew.", nil, nil)
	vitalReady     = prometheus.NewDesc("redoxworker_ready", "1 while the worker takes messages, as /readyz says, else 0.", nil, nil)
	vitalProblems  = prometheus.NewDesc("redoxworker_problems", "How many problems /readyz names.", nil, nil)
	vitalStored    = prometheus.NewDesc("redoxworker_gateway_stored_total", "Requests that the gateway stored.", []string{"lane"}, nil)
	vitalRefused   = prometheus.NewDesc("redoxworker_gateway_refused_total", "Requests that the gateway did not store, by the code of its answer.", []string{"code"}, nil)
	vitalAudited   = prometheus.NewDesc("redoxworker_audit_entries_total", "Audit entries of settlements that were written.", nil, nil)
	vitalAuditFail = prometheus.NewDesc("redoxworker_audit_errors_total", "Audit entries that could not be written; their messages wait for it.", nil, nil)
	vitalBodies    = prometheus.NewDesc("redoxworker_bodies_removed_total", "Bodies that nothing named, removed from the object store by this worker in its turn.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (v vitals) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{vitalConnected, vitalReconnect, vitalReady, vitalProblems, vitalStored, vitalRefused, vitalAudited, vitalAuditFail, vitalBodies} {
		to <- d
	}
}

// Collect implements [prometheus.Collector]. It makes no request.
func (v vitals) Collect(to chan<- prometheus.Metric) {
	s := v.service
	send := func(d *prometheus.Desc, kind prometheus.ValueType, n float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, n, labels...)
	}
	connected, reconnects := 0.0, 0.0
	if conn := s.conn.Load(); conn != nil {
		reconnects = float64(conn.Stats().Reconnects)
		if conn.IsConnected() {
			connected = 1
		}
	}
	send(vitalConnected, prometheus.GaugeValue, connected)
	send(vitalReconnect, prometheus.CounterValue, reconnects)
	now, ready := s.Status(), 0.0
	if now.Ready {
		ready = 1
	}
	send(vitalReady, prometheus.GaugeValue, ready)
	send(vitalProblems, prometheus.GaugeValue, float64(len(now.Problems)))
	if g := s.gateway.Load(); g != nil {
		stats := g.Stats()
		for lane, n := range stats.Stored {
			send(vitalStored, prometheus.CounterValue, float64(n), string(lane))
		}
		for code, n := range stats.Refused {
			send(vitalRefused, prometheus.CounterValue, float64(n), code)
		}
	}
	send(vitalAudited, prometheus.CounterValue, float64(s.counts.audited.Load()))
	send(vitalAuditFail, prometheus.CounterValue, float64(s.counts.auditErrors.Load()))
	send(vitalBodies, prometheus.CounterValue, float64(s.counts.bodiesRemoved.Load()))
}

// refusedKeys are the keys whose tokens Redox refuses at present, or that have none: their sources
// pull nothing.
func (s *Service) refusedKeys() map[string]bool {
	w := s.worker.Load()
	if w == nil {
		return nil
	}
	paused := make(map[string]bool)
	for _, p := range w.Status().Pauses {
		paused[p.Scope] = true
	}
	refused := make(map[string]bool)
	for _, k := range s.keys.All() {
		if paused[redox.KeyScope(k.Name)] {
			refused[k.Name] = true
		}
	}
	return refused
}
