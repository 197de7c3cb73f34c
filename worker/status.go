package worker

import (
	"cmp"
	"slices"
	"time"
)

// Status is the state of a worker at one moment.
type Status struct {
	// Connected reports that the worker is connected to NATS.
	Connected bool `json:"connected"`
	// Started reports that Run has begun to serve its sources, if it has any.
	Started bool `json:"started"`
	// Queue reports that the work queue was there at the last look.
	Queue bool `json:"queue"`
	// Sources is the number of sources that are served.
	Sources int `json:"sources"`
	// Consumers is the number of consumers that the worker pulls from at present, because they have
	// messages or had some a moment ago. Bound is how many of these it has found or made.
	Consumers int `json:"consumers"`
	Bound     int `json:"bound"`
	// InFlight is the number of messages being delivered.
	InFlight int `json:"in_flight"`
	// Concurrency is how many messages may be in flight at present.
	Concurrency int `json:"concurrency"`
	// Narrowed maps each source whose own trouble limits it to fewer messages in flight than
	// Concurrency to that limit.
	Narrowed map[string]int `json:"narrowed,omitempty"`
	// Slow lists the sources with messages that have been in delivery or settlement for over ten
	// seconds, those with most of them first, ten at most.
	Slow []SlowSource `json:"slow,omitempty"`
	// Backlog lists the sources that had more than twice Concurrency messages in the queue when
	// the worker last looked, those with most of them first, ten at most.
	Backlog []SourceBacklog `json:"backlog,omitempty"`
	// Unanswered maps each source whose last reply was refused by the stream of replies, for its
	// size, to what the stream said. Messages of these sources that want a durable reply wait.
	Unanswered map[string]string `json:"unanswered,omitempty"`
	// Pauses lists what is paused, since when and why.
	Pauses []Paused `json:"pauses,omitempty"`
	// Breakers maps each host of the sources to closed, open or probing.
	Breakers map[string]string `json:"breakers,omitempty"`
}

// SlowSource is a source with messages that have been in hand for a long time.
type SlowSource struct {
	Source   string `json:"source"`
	Messages int    `json:"messages"`
	// Longest is the time since the oldest of them began.
	Longest time.Duration `json:"longest_ns"`
}

// SourceBacklog is a source with many messages in the queue.
type SourceBacklog struct {
	Source   string `json:"source"`
	Messages int64  `json:"messages"`
}

// mostShown bounds the sources that a list of [Status] names.
const mostShown = 10

// slowAfter is the time after which a message in delivery or settlement is slow.
const slowAfter = 10 * time.Second

// Ready reports whether the worker can take messages: it was started, is connected to NATS and has
// found the work queue. It is ready even if Redox is down, a key is paused or the consumer of a
// source cannot be made.
func (s Status) Ready() bool { return s.Started && s.Connected && s.Queue }

// Status returns the worker's state. It is safe for concurrent use, also before Run.
func (w *Worker) Status() Status {
	s := Status{Connected: w.conn.IsConnected(), Queue: w.queueThere.Load()}
	w.mu.Lock()
	s.Started, s.Sources = w.begun, len(w.sources)
	w.mu.Unlock()
	if !s.Started {
		return s
	}
	stored := make(map[string]int64)
	for _, p := range w.allPullers() {
		stored[p.source] += p.stored.Load()
		p.mu.Lock()
		if p.running {
			s.Consumers++
			if p.bound.Load() {
				s.Bound++
			}
		}
		p.mu.Unlock()
	}
	s.Concurrency, s.Narrowed = w.slots.Size(), w.slots.Narrowed()
	s.InFlight, s.Breakers = w.slots.InUse(), w.breaker.Hosts()
	s.Pauses = pausedOf(w.breaker.Entries())
	s.Slow, s.Unanswered = w.slowSources(time.Now()), w.replyStore.Refusals()
	s.Backlog = backlogs(stored, 2*int64(w.config.Concurrency))
	return s
}

// ID names the worker in logs and dead letters.
func (w *Worker) ID() string { return w.config.ID }

// Served returns the sources that the worker serves, each with the scopes that it depends on. It
// is safe for concurrent use, also before Run.
func (w *Worker) Served() map[string][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return scopesOf(w.sources)
}

// InHand returns, by consumer (see [contract.Prefix.LaneConsumer]), the sequences in the queue
// of the messages that the worker has in hand, until their settlement is confirmed: no more
// than most of them. It is safe for concurrent use, also before Run.
func (w *Worker) InHand(most int) map[string][]uint64 {
	w.mu.Lock()
	begun := w.begun
	w.mu.Unlock()
	if !begun {
		return nil
	}
	held := w.keeper.Held(most)
	for _, sequences := range held {
		slices.Sort(sequences)
	}
	return held
}

// slowSources looks at what is in hand.
func (w *Worker) slowSources(now time.Time) []SlowSource {
	slow := make(map[string]*SlowSource)
	for consumer, attempts := range w.keeper.Sending(now.Add(-slowAfter)) {
		source, _, _ := w.config.Prefix.ParseLaneConsumer(consumer)
		s := slow[source]
		if s == nil {
			s = &SlowSource{Source: source}
			slow[source] = s
		}
		s.Messages += attempts.Messages
		s.Longest = max(s.Longest, now.Sub(attempts.First))
	}
	list := make([]SlowSource, 0, len(slow))
	for _, s := range slow {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b SlowSource) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Source, b.Source))
	})
	return list[:min(len(list), mostShown)]
}

// backlogs are the sources with more than so many messages.
func backlogs(stored map[string]int64, than int64) (list []SourceBacklog) {
	for source, n := range stored {
		if n > than {
			list = append(list, SourceBacklog{source, n})
		}
	}
	slices.SortFunc(list, func(a, b SourceBacklog) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Source, b.Source))
	})
	return list[:min(len(list), mostShown)]
}
