// Package meter counts for Prometheus what one worker does, and shows what it knows of the queue.
//
// A label names a source only where there are few: so many sources as [Config.Sources] says have
// series of their own, those that need it most, and all others share the label value
// [OtherSources]. What a scrape costs is therefore bounded for any number of sources, and it asks
// nobody.
package meter

import (
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// OtherSources is the label value of all sources without series of their own. No source has that
// name.
const OtherSources = "(other)"

// Fleet ends the help of what every worker says of the whole fleet: take the maximum over workers,
// not the sum.
const Fleet = " Of the fleet: every worker says the same, so take max, not sum."

// DefaultSources is how many sources have series of their own by default.
const DefaultSources = 100

// Config of a [Meter].
type Config struct {
	// Sources is how many sources have series of their own at most. 0 means [DefaultSources].
	Sources int
	// Paused lists what is paused, and all hosts; see [Pause]. nil means nothing is known of pauses.
	Paused func() []Pause
	// Ring says what is known of the ring of keys. nil means that nothing is known.
	Ring func() Ring
	// Slots says how many messages are in flight, how many may be, and how many sources are
	// narrowed. nil means that nothing is known.
	Slots func() (inFlight, limit, narrowed int)
}

// Meter counts what one worker does. It is safe for concurrent use.
type Meter struct {
	most     int
	settled  *prometheus.CounterVec
	attempts *prometheus.CounterVec
	retries  *prometheus.CounterVec
	unknown  *prometheus.CounterVec
	repeated *prometheus.CounterVec
	age      *prometheus.HistogramVec
	duration *prometheus.HistogramVec
	took     [lanes][statuses]lazy
	replays  [settlements]prometheus.Counter
	other    *series
	sealed   [seals]prometheus.Counter

	// SettleErrors, PullErrors, LeasesLost and Ignored count what happens beside the messages' way.
	SettleErrors, PullErrors, LeasesLost, Ignored prometheus.Counter
	// Advisories counts those that the sweeper dealt with.
	Advisories [advisories]prometheus.Counter
	// Claimed is how many bytes of bodies from the object store are in memory.
	Claimed prometheus.Gauge
	// Queue is what is known of the queue.
	Queue *Queue

	mu      sync.Mutex
	crowded bool // there are more sources than may have series of their own
	sources map[string]*Source
	labels  map[string]*label
}

// Bounds of the classic buckets. Native histograms, which a Prometheus of 2.40 and later asks for,
// are finer.
var (
	attemptBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 150}
	ageBuckets     = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 1800, 3600, 14400, 86400}
)

// New makes a Meter and registers it at r; a nil r registers nothing.
func New(r prometheus.Registerer, c Config) (*Meter, error) {
	if c.Sources == 0 {
		c.Sources = DefaultSources
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "redoxworker_" + name, Help: help}, labels)
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "redoxworker_" + name, Help: help})
	}
	replays := counters("replays_total", "Messages settled that are replays of dead letters, by settlement.", "settlement")
	swept := counters("sweeper_advisories_total", "Advisories of the server about messages that no worker settles, by what came of them: settled, removed (a dead letter says so) or left alone.", "outcome")
	m := &Meter{
		most:     c.Sources,
		settled:  counters("settled_total", "Messages settled, by settlement; all but delivered are dead letters, REQUESTs whose caller was told aside.", "source", "lane", "settlement"),
		attempts: counters("attempts_total", "Delivery tries by class of the answer's status; none: a request was written and no answer came; unsent: nothing was.", "source", "status"),
		retries:  counters("retries_total", "Attempts that failed and whose message is tried again.", "source"),
		unknown:  counters("unknown_outcomes_total", "Attempts whose outcome is unknown: Redox may have the message.", "source"),
		repeated: counters("possible_duplicates_total", "Attempts for messages that Redox may have already: from an earlier attempt, or since they may have been published before.", "source"),
		age: histogram("message_age_seconds", "Time from a message being stored to its confirmed settlement.",
			ageBuckets, "source", "lane"),
		duration: histogram("attempt_duration_seconds", "Duration of attempts in which a request was written, by class of the answer's status; none: no answer came.",
			attemptBuckets, "lane", "status"),
		SettleErrors: counter("settle_errors_total", "Settlement steps that had to be repeated."),
		PullErrors:   counter("pull_errors_total", "Pulls that failed."),
		LeasesLost:   counter("leases_lost_total", "Messages whose lease could not be renewed."),
		Ignored:      counter("ignored_deliveries_total", "Deliveries left alone, because the worker has the message in flight already."),
		Claimed:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "redoxworker_claimed_bytes", Help: "Bodies of claim-checked messages in memory."}),
		Queue:        newQueue(),
		sources:      make(map[string]*Source), labels: make(map[string]*label),
	}
	sealed := counters("sealed_messages_total", "Messages that were sealed, by what came of opening them, and those that were not although they must be: opened, altered, unknown_key, shredded or missing.", "outcome")
	m.sealed = newSeals(sealed)
	m.other = m.seriesOf(OtherSources)
	m.took[laneOf(contract.LaneSend)][statusOf(200)].of(m.duration, string(contract.LaneSend), "2xx")
	for i := range m.replays {
		m.replays[i] = replays.WithLabelValues(string(settlementNames[i]))
	}
	for i := range m.Advisories {
		m.Advisories[i] = swept.WithLabelValues(advisoryNames[i])
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, one := range []prometheus.Collector{m.settled, m.attempts, m.retries, m.unknown, m.repeated, m.age, m.duration, replays, swept, sealed, ringGauges(c.Ring),
		m.SettleErrors, m.PullErrors, m.LeasesLost, m.Ignored, m.Claimed, m.Queue, pauses{c.Paused}, slotGauges(c.Slots)} {
		errs = append(errs, r.Register(one))
	}
	return m, errors.Join(errs...)
}

// histogram has classic buckets, and native ones beside them.
func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "redoxworker_" + name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100}, labels)
}

// What becomes of an advisory.
const (
	AdvisorySettled = iota
	AdvisoryRemoved
	AdvisoryLeft
	advisories
)

var advisoryNames = [advisories]string{"settled", "removed", "left"}
