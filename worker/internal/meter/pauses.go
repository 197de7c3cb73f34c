package meter

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// mostPauses is how many pauses are named, the widest first.
const mostPauses = 50

// Pause is a scope, and whether it is paused. One that is not is shown all the same: a host, say,
// of which there are few.
type Pause struct {
	// Kind is operator, group, host, key, source, destination or, of a scope that an embedder has named, other.
	Kind string
	// Scope is its name, as the log has it.
	Scope string
	// On: it is paused.
	On bool
}

// pauseKinds are the kinds of scopes, those first whose pause holds up most.
var pauseKinds = []string{"operator", "group", "host", "key", "source", "destination", "other"}

// pauses shows what is paused.
type pauses struct{ list func() []Pause }

var (
	pausedNow = prometheus.NewDesc("redoxworker_paused",
		"1 while a scope is paused, by itself or by an operator, of 50 scopes at most; hosts also while they are not. The pause of a key is that of this worker, every other that of the fleet.", []string{"kind", "scope"}, nil)
	pausedScopes = prometheus.NewDesc("redoxworker_paused_scopes",
		"How many scopes of a kind are paused. The pause of a key is that of this worker, every other that of the fleet.", []string{"kind"}, nil)
)

// Describe implements [prometheus.Collector].
func (p pauses) Describe(to chan<- *prometheus.Desc) {
	to <- pausedNow
	to <- pausedScopes
}

// Collect implements [prometheus.Collector].
func (p pauses) Collect(to chan<- prometheus.Metric) {
	if p.list == nil {
		return
	}
	list, count := p.list(), make(map[string]int)
	rank := func(x Pause) int { return slices.Index(pauseKinds, x.Kind) }
	slices.SortFunc(list, func(a, b Pause) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Scope, b.Scope))
	})
	for i, x := range list {
		on := 0.0
		if x.On {
			on = 1
			count[x.Kind]++
		}
		if i < mostPauses {
			to <- prometheus.MustNewConstMetric(pausedNow, prometheus.GaugeValue, on, x.Kind, x.Scope)
		}
	}
	for _, kind := range pauseKinds {
		to <- prometheus.MustNewConstMetric(pausedScopes, prometheus.GaugeValue, float64(count[kind]), kind)
	}
}
