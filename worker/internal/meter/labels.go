package meter

import (
	"cmp"
	"slices"
	"time"
)

// Which sources have series of their own.
//
// While there are no more sources than may have, all do. Where there are more, those have whose
// messages fail, and then those with most messages. Who is to get series is shown with them at 0
// first, and who is to lose them keeps them for a while unchanged: a scrape then misses nothing,
// and sums over all sources are right.
const (
	// RankEvery is how often [Meter.Rank] should be called.
	RankEvery = time.Minute
	// staysFor is how long a source keeps its series at least, unless it has nothing at all.
	staysFor = 10 * time.Minute
	// fadesFor is how long series are shown that do not change any more.
	fadesFor = 5 * time.Minute
	// failureWeight is how many messages a failure is worth.
	failureWeight = 10
)

// label is a source's right to series of its own.
type label struct {
	source *Source
	series *series
	stage  stage
	since  time.Time
}

type stage int

const (
	showing stage = iota
	counting
	fading
)

// Expect says how many sources there are. With more than may have series of their own, those that
// are added get none before it is known which need them.
func (m *Meter) Expect(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crowded = n > m.most
}

// Others counts what belongs to no source that is served.
func (m *Meter) Others() *Source {
	s := &Source{name: OtherSources, meter: m}
	s.at.Store(m.other)
	return s
}

// Source returns what counts for a source, made where there is none.
func (m *Meter) Source(name string) *Source {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sources[name]
	if s != nil {
		return s
	}
	s = &Source{name: name, meter: m}
	s.at.Store(m.other)
	m.sources[name] = s
	if l := m.labels[name]; l != nil { // it has come again: its old series fade
		return s
	}
	if !m.crowded && len(m.labels) < m.most {
		l := &label{source: s, series: m.seriesOf(name), stage: counting, since: time.Now()}
		m.labels[name] = l
		s.at.Store(l.series)
	}
	return s
}

// Forget ends the series of a source that is not served any more. What is still in flight of it
// counts with the others.
func (m *Meter) Forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sources, name)
	if l := m.labels[name]; l != nil {
		l.fade(m, time.Now())
	}
}

// fade has a source count with the others from now on.
func (l *label) fade(m *Meter, now time.Time) {
	l.source.at.Store(m.other)
	l.stage, l.since = fading, now
}

// Rank looks which sources need series of their own. Call it each [RankEvery].
func (m *Meter) Rank(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, l := range m.labels {
		switch {
		case l.stage == showing:
			l.source.at.Store(l.series)
			l.stage, l.since = counting, now
		case l.stage == fading && now.Sub(l.since) >= fadesFor:
			m.drop(name)
			delete(m.labels, name)
		}
	}
	var wanting []*Source
	for name, s := range m.sources {
		s.need = s.need/2 + float64(s.messages.Swap(0)) + failureWeight*float64(s.failures.Swap(0))
		if m.labels[name] == nil && (s.need > 0 || !m.crowded) {
			wanting = append(wanting, s)
		}
	}
	slices.SortFunc(wanting, func(a, b *Source) int { return cmp.Or(cmp.Compare(b.need, a.need), cmp.Compare(a.name, b.name)) })
	free := m.most - len(m.labels)
	for len(wanting) > 0 && free > 0 {
		m.labels[wanting[0].name] = &label{source: wanting[0], series: m.seriesOf(wanting[0].name), since: now}
		wanting, free = wanting[1:], free-1
	}
	m.makeRoom(wanting, now)
}

// makeRoom has those fade who need their series least, for those who need some more.
func (m *Meter) makeRoom(wanting []*Source, now time.Time) {
	var have []*label
	fades := 0
	for _, l := range m.labels {
		switch {
		case l.stage == fading:
			fades++ // there will be room
		case l.stage == counting && (l.source.need == 0 || now.Sub(l.since) >= staysFor):
			have = append(have, l)
		}
	}
	wanting = wanting[min(fades, len(wanting)):]
	slices.SortFunc(have, func(a, b *label) int {
		return cmp.Or(cmp.Compare(a.source.need, b.source.need), cmp.Compare(b.source.name, a.source.name))
	})
	for i, s := range wanting {
		if i >= len(have) || s.need <= 2*have[i].source.need {
			return
		}
		have[i].fade(m, now)
	}
}
