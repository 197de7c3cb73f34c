package meter

import "github.com/prometheus/client_golang/prometheus"

// gauges shows numbers that are read together at each scrape; none while read is nil.
type gauges struct {
	descs []*prometheus.Desc
	read  func() []float64 // one for each of descs
}

// Describe implements [prometheus.Collector].
func (g gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range g.descs {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (g gauges) Collect(to chan<- prometheus.Metric) {
	if g.read == nil {
		return
	}
	for i, value := range g.read() {
		to <- prometheus.MustNewConstMetric(g.descs[i], prometheus.GaugeValue, value)
	}
}

// slotGauges shows what is in flight; nothing where read is nil.
func slotGauges(read func() (inFlight, limit, narrowed int)) gauges {
	g := gauges{descs: []*prometheus.Desc{
		prometheus.NewDesc("redoxworker_in_flight", "Messages that are being delivered.", nil, nil),
		prometheus.NewDesc("redoxworker_concurrency_limit", "Messages that may be in flight at present, first ones of sources aside.", nil, nil),
		prometheus.NewDesc("redoxworker_narrowed_sources", "Sources that may have fewer messages in flight, because of what their own met.", nil, nil),
	}}
	if read != nil {
		g.read = func() []float64 {
			inFlight, limit, narrowed := read()
			return []float64{float64(inFlight), float64(limit), float64(narrowed)}
		}
	}
	return g
}
