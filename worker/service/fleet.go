package service

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/tally"
)

const (
	// lettersEvery is how often dead letters are counted by source at most, and lettersShare bounds
	// the time that takes: one part in so many.
	lettersEvery = 15 * time.Second
	lettersShare = 200
	// mostLetters is up to how many dead letters are counted by source: their subjects are listed.
	mostLetters = 200_000
	// mostLetterSources is how many sources the count names, those with most.
	mostLetterSources = 20
	// otherSources and anySettlement are the labels of what is not counted by itself.
	otherSources, anySettlement = "(other)", "(any)"
)

// ofFleet ends the help of metrics that describe the whole fleet.
const ofFleet = " Of the fleet: every worker says the same, so take max, not sum."

// fleet shows what the streams hold, as of the last look of the upkeep. A scrape asks nobody. It is
// safe for concurrent use.
type fleet struct {
	mu      sync.Mutex
	streams map[string]*jetstream.StreamInfo // nil: nothing is known
	dead    string                           // the name of the dead letters' stream
	letters map[tally.Letter]uint64

	// of look alone
	counted   time.Time // when the letters were counted last
	cost      time.Duration
	countedAt [2]uint64 // what the stream held then: messages, last sequence
}

// letterKey has the labels of a count of dead letters.
type letterKey struct{ source, settlement string }

// lost says that the streams cannot be looked at.
func (f *fleet) lost() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams = nil
}

// look takes what was found, by the names of the streams.
func (f *fleet) look(ctx context.Context, js jetstream.JetStream, p contract.Prefix, infos map[string]*jetstream.StreamInfo) {
	f.mu.Lock()
	f.streams, f.dead = infos, p.DeadStream()
	f.mu.Unlock()
	dead := infos[p.DeadStream()]
	if dead == nil {
		return
	}
	holds, now := [2]uint64{dead.State.Msgs, dead.State.LastSeq}, time.Now()
	if holds == f.countedAt && !f.counted.IsZero() || now.Sub(f.counted) < max(lettersEvery, lettersShare*f.cost) {
		return
	}
	letters, err := countLetters(ctx, js, p, dead.State.Msgs)
	if f.counted, f.cost = now, time.Since(now); err != nil {
		return
	}
	f.countedAt = holds
	f.mu.Lock()
	defer f.mu.Unlock()
	f.letters = letters
}

// countLetters counts the dead letters by source and settlement.
func countLetters(ctx context.Context, js jetstream.JetStream, p contract.Prefix, messages uint64) (map[tally.Letter]uint64, error) {
	switch {
	case messages > mostLetters:
		return map[tally.Letter]uint64{{Source: otherSources}: messages}, nil
	case messages == 0:
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, p.DeadStream())
	if err != nil {
		return nil, err
	}
	return tally.OfLetters(ctx, p, stream)
}

var (
	streamMessages = prometheus.NewDesc("redoxworker_stream_messages", "Messages that a stream holds; of an object store its parts."+ofFleet, []string{"stream"}, nil)
	streamBytes    = prometheus.NewDesc("redoxworker_stream_bytes", "Bytes that a stream holds."+ofFleet, []string{"stream"}, nil)
	streamLimit    = prometheus.NewDesc("redoxworker_stream_limit_bytes", "Bytes that a stream may hold; 0: it has no bound of its own."+ofFleet, []string{"stream"}, nil)
	deadLetters    = prometheus.NewDesc("redoxworker_dead_letters", "Dead letters that nobody has replayed or discarded, of the sources with most."+ofFleet, []string{"source", "settlement"}, nil)
	deadOldest     = prometheus.NewDesc("redoxworker_dead_letters_oldest_seconds", "Age of the oldest dead letter; 0 without one."+ofFleet, nil, nil)
)

// Describe implements [prometheus.Collector].
func (f *fleet) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{streamMessages, streamBytes, streamLimit, deadLetters, deadOldest} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (f *fleet) Collect(to chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for name, info := range f.streams {
		gauge(streamMessages, float64(info.State.Msgs), name)
		gauge(streamBytes, float64(info.State.Bytes), name)
		gauge(streamLimit, float64(max(0, info.Config.MaxBytes)), name)
	}
	dead := f.streams[f.dead]
	if dead == nil {
		return
	}
	oldest := 0.0
	if dead.State.Msgs > 0 {
		oldest = max(0, dead.TimeStamp.Sub(dead.State.FirstTime).Seconds())
	}
	gauge(deadOldest, oldest)
	for key, n := range f.shownLetters() {
		gauge(deadLetters, float64(n), key.source, key.settlement)
	}
}

// shownLetters are the counts of the sources with most dead letters, and of all others together. The
// caller holds mu.
func (f *fleet) shownLetters() map[letterKey]uint64 {
	shown := make(map[letterKey]uint64)
	for _, s := range settlements {
		shown[letterKey{otherSources, string(s)}] = 0
	}
	bySource := make(map[string]uint64)
	for letter, n := range f.letters {
		bySource[letter.Source] += n
	}
	names := make([]string, 0, len(bySource))
	for name := range bySource {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(bySource[b], bySource[a]), cmp.Compare(a, b))
	})
	names = names[:min(mostLetterSources, len(names))]
	for letter, n := range f.letters {
		key := letterKey{letter.Source, string(letter.Settlement)}
		if !slices.Contains(names, key.source) {
			key.source = otherSources
		}
		if !slices.Contains(settlements[:], letter.Settlement) { // whoever may write a dead letter may write any
			key.settlement = anySettlement
		}
		shown[key] += n
	}
	return shown
}

// settlements are those of dead letters.
var settlements = [...]outbox.Settlement{outbox.Rejected, outbox.Expired, outbox.Exhausted, outbox.Held, outbox.Poison}
