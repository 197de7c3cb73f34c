package meter

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/tally"
)

// MostWaiting is how many sources the gauges of the queue name: those with most messages, and those
// whose oldest message is the oldest.
const MostWaiting = 20

// Seen is what a look at the queue found.
type Seen struct {
	tally.Queue
	// Unserved are messages of sources that this worker does not serve: they are among those of Queue.
	Unserved uint64
}

// Queue is what is known of the work queue. It is a [prometheus.Collector] that asks nobody, and
// safe for concurrent use.
type Queue struct {
	mu    sync.Mutex
	known bool
	seen  Seen
	heads map[string]*head // of sources with messages
}

// head is what is known of the oldest message of a source: it was not stored before.
type head struct {
	after time.Time
	exact time.Time // when it was found to be stored at after
	count uint64
}

func newQueue() *Queue { return &Queue{heads: make(map[string]*head)} }

// Look takes what a look at the queue found.
func (q *Queue) Look(s Seen) {
	q.mu.Lock()
	defer q.mu.Unlock()
	before := q.seen.At
	q.known, q.seen = true, s
	count := make(map[string]uint64, len(s.Messages))
	for w, n := range s.Messages {
		count[w.Source] += n
	}
	for source := range q.heads {
		if count[source] == 0 {
			delete(q.heads, source)
		}
	}
	for source, n := range count {
		h := q.heads[source]
		if h == nil { // it had none at the last look, or nothing is known yet
			h = &head{after: s.First}
			if before.After(s.First) {
				h.after = before
			}
			q.heads[source] = h
		}
		h.count = n
	}
}

// Lost says that the queue cannot be looked at: nothing is shown of it until it can.
func (q *Queue) Lost() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.known, q.seen, q.heads = false, Seen{}, make(map[string]*head)
}

// Ask returns the sources, [MostWaiting] at most, whose oldest message may be the oldest of all. The
// answers go to [Queue.Oldest].
func (q *Queue) Ask() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	names := make([]string, 0, len(q.heads))
	for source := range q.heads {
		names = append(names, source)
	}
	q.byAge(names)
	return names[:min(MostWaiting, len(names))]
}

// byAge sorts sources, those first whose oldest message may be the oldest. The caller holds mu.
func (q *Queue) byAge(names []string) {
	slices.SortFunc(names, func(a, b string) int {
		x, y := q.heads[a], q.heads[b]
		return cmp.Or(x.after.Compare(y.after), cmp.Compare(y.count, x.count), cmp.Compare(a, b))
	})
}

// Oldest says when the oldest message of a source was stored.
func (q *Queue) Oldest(source string, stored time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if h := q.heads[source]; h != nil {
		h.after, h.exact = stored, q.seen.At
	}
}

var (
	queueMessages = prometheus.NewDesc("redoxworker_queue_messages",
		"Messages in the work queue that are not settled, those in flight included, of the sources with most, whoever serves them."+Fleet, []string{"source", "lane"}, nil)
	queueOldest = prometheus.NewDesc("redoxworker_queue_oldest_seconds",
		"Age of the oldest message in the work queue, of any source; 0 when it is empty."+Fleet, nil, nil)
	sourceOldest = prometheus.NewDesc("redoxworker_source_oldest_seconds",
		"Age of the oldest message of a source in the work queue, of the sources that have waited longest."+Fleet, []string{"source"}, nil)
	queueUnserved = prometheus.NewDesc("redoxworker_queue_unserved_messages",
		"Messages in the work queue of sources that this worker does not serve, which redoxworker_queue_messages counts as well.", nil, nil)
	queueAstray = prometheus.NewDesc("redoxworker_queue_astray_messages",
		"Messages in the work queue under subjects that no worker reads."+Fleet, nil, nil)
)

// Describe implements [prometheus.Collector].
func (q *Queue) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queueMessages, queueOldest, sourceOldest, queueUnserved, queueAstray} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (q *Queue) Collect(to chan<- prometheus.Metric) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.known {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	oldest := 0.0
	if !q.seen.First.IsZero() {
		oldest = max(0, q.seen.At.Sub(q.seen.First).Seconds())
	}
	gauge(queueOldest, oldest)
	gauge(queueUnserved, float64(q.seen.Unserved))
	gauge(queueAstray, float64(q.seen.Astray))
	names := make([]string, 0, len(q.heads))
	for source := range q.heads {
		names = append(names, source)
	}
	q.byAge(names)
	shown := 0
	for _, source := range names[:min(MostWaiting, len(names))] {
		if h := q.heads[source]; !h.exact.IsZero() {
			gauge(sourceOldest, max(0, q.seen.At.Sub(h.after).Seconds()), source)
			shown++
		}
	}
	if shown == 0 {
		gauge(sourceOldest, 0, OtherSources)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(q.heads[b].count, q.heads[a].count), cmp.Compare(a, b))
	})
	named := make(map[string]bool, MostWaiting)
	for _, source := range names[:min(MostWaiting, len(names))] {
		named[source] = true
	}
	others := make(map[contract.Lane]uint64)
	for w, n := range q.seen.Messages {
		if named[w.Source] {
			gauge(queueMessages, float64(n), w.Source, string(w.Lane))
		} else {
			others[w.Lane] += n
		}
	}
	for _, lane := range laneNames {
		gauge(queueMessages, float64(others[lane]), OtherSources, string(lane))
	}
}
