package conformance

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// metrics are the series of a scrape with what they show.
type metrics map[string]float64

// scrape reads what all workers show, as Prometheus has it: an instance for each.
func (s *site) scrape() metrics {
	s.Helper()
	all := make(metrics)
	for i, registry := range s.workers {
		families, err := registry.Gather()
		s.must(err)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				all.add(f.GetName(), fmt.Sprint("worker-", i), m)
			}
		}
	}
	return all
}

func (all metrics) add(name, instance string, m *dto.Metric) {
	labels := map[string]string{"instance": instance, "job": "redoxworker"}
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	put := func(suffix string, value float64) { all[series(name+suffix, labels)] = value }
	switch {
	case m.GetGauge() != nil:
		put("", m.GetGauge().GetValue())
	case m.GetCounter() != nil:
		put("", m.GetCounter().GetValue())
	case m.GetSummary() != nil:
		put("_sum", m.GetSummary().GetSampleSum())
		put("_count", float64(m.GetSummary().GetSampleCount()))
	case m.GetHistogram() != nil:
		h := m.GetHistogram()
		put("_sum", h.GetSampleSum())
		put("_count", float64(h.GetSampleCount()))
		for _, b := range append(h.GetBucket(), &dto.Bucket{}) {
			labels["le"] = strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64)
			count := b.GetCumulativeCount()
			if b.UpperBound == nil {
				labels["le"], count = "+Inf", h.GetSampleCount()
			}
			put("_bucket", float64(count))
		}
	}
}

// series is the name of one in Prometheus's notation.
func series(name string, labels map[string]string) string {
	var list []string
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, label+"="+strconv.Quote(labels[label]))
	}
	return name + "{" + strings.Join(list, ", ") + "}"
}

// of is what one worker shows.
func (all metrics) of(worker int) metrics {
	mine := make(metrics)
	for name, value := range all {
		if strings.Contains(name, fmt.Sprintf("instance=%q", fmt.Sprint("worker-", worker))) {
			mine[name] = value
		}
	}
	return mine
}

// max is the largest of the series of a name that have all the labels, NaN without any.
func (all metrics) max(name string, labels ...string) float64 {
	most := math.NaN()
	for key, value := range all {
		if strings.HasPrefix(key, name+"{") && !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(key, l) }) {
			if math.IsNaN(most) || value > most {
				most = value
			}
		}
	}
	return most
}

// min is the smallest of them.
func (all metrics) min(name string) float64 {
	least := math.NaN()
	for key, value := range all {
		if strings.HasPrefix(key, name+"{") && !(value > least) {
			least = value
		}
	}
	return least
}

// String has what is not 0.
func (all metrics) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] != 0 && strings.HasPrefix(name, "redoxworker_") && !strings.Contains(name, "_bucket{") {
			fmt.Fprintln(&b, name, all[name])
		}
	}
	return b.String()
}
