package redox

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// counted gathers the counters of r, and the number of observations of histograms.
func counted(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "redoxworker_redox_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			if v := m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()); v != 0 {
				got[name] = v
			}
		}
	}
	return got
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	status := 200
	r := serve(t, func(w http.ResponseWriter, a arrival) { respond(status, accepted)(w, a) })
	c := client(t, r.URL, &keyring{}, func(c *Config, _ *Source) { c.Registerer = registry })
	for _, status = range []int{200, 200, 404, 503, 401, 302} {
		_, _ = c.Deliver(t.Context(), message(contract.LaneSend, event))
	}
	// A second client of the same process counts into the same metrics.
	other := client(t, closedPort(t), &keyring{}, func(c *Config, _ *Source) { c.Registerer = registry })
	_, _ = other.Deliver(t.Context(), message(contract.LaneSend, event))
	_, _ = other.Deliver(t.Context(), message(contract.LaneSend, "poison: no request"))
	want := map[string]float64{
		"requests_total 2xx": 2, "requests_total 3xx": 1, "requests_total 4xx": 3, "requests_total 5xx": 1, "requests_total none": 1,
		"connections_total false": 1, "connections_total true": 6, "request_seconds": 8, "resends_total": 1,
	}
	if diff := cmp.Diff(want, counted(t, registry)); diff != "" {
		t.Error(diff)
	}
}

func TestMetrics_NameTaken(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "redoxworker_redox_resends_total", Help: "another"}))
	if _, err := New(nil, nil, Config{Registerer: registry}); err == nil || !strings.Contains(err.Error(), "redox: register metrics") {
		t.Error(err)
	}
}
