package worker

import (
	"context"
	"errors"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/meter"
)

// SetSources replaces the sources that the worker serves, before Run or while it runs. A new
// source is served at once. A source that is left out is not pulled from any more; what is in
// flight of it is delivered, by the functions that it had. A source that stays goes on; its new
// scopes apply to messages that are pulled from now on, its new functions also to what is in hand.
// An error names every bad source and changes nothing. It is safe for concurrent use.
func (w *Worker) SetSources(list []Source) error {
	if w.config.AllSources {
		return errors.New("worker: SetSources: Config.AllSources is set: the worker serves all there are")
	}
	if err := checkSources(list); err != nil {
		return err
	}
	w.serving.Lock()
	defer w.serving.Unlock()
	w.mu.Lock()
	w.metrics.Expect(len(list))
	next := make(map[string]*served, len(list))
	for _, source := range list {
		s := &served{Source: source.guard(w.guards)}
		if old := w.sources[source.Name]; old != nil {
			s.keep(old.lanes)
		} else if w.running {
			s.keep(w.newLanes(source.Name))
		}
		next[source.Name] = s
	}
	gone, running := w.sources, w.running
	w.sources = next
	w.mu.Unlock()
	if !running {
		return nil
	}
	w.breaker.SetSources(scopesOf(next))
	for name, s := range gone {
		if next[name] == nil {
			w.metrics.Forget(name)
			s.lanes[0].cancel()
			s.lanes[1].cancel()
		}
	}
	w.lookNow()
	return nil
}

// newLanes makes the lanes of a source. The caller holds the mutex, or is alone.
func (w *Worker) newLanes(source string) [2]*lane {
	counts := w.metrics.Source(source)
	return [2]*lane{w.newLane(w.pulling, source, contract.LaneSend, counts), w.newLane(w.pulling, source, contract.LaneRequest, counts)}
}

// laneFor returns the lane of a message of a kind; nil if its source is not served. Where all
// sources are served, it begins to serve a new one.
func (w *Worker) laneFor(source string, kind contract.Lane) *lane {
	s := w.servedBy(source)
	if s == nil && w.config.AllSources {
		s = w.adopt(source)
	}
	return s.lane(kind)
}

func (w *Worker) servedBy(source string) *served {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sources[source]
}

// adopt begins to serve a source that was found in the queue.
func (w *Worker) adopt(source string) *served {
	w.serving.Lock()
	defer w.serving.Unlock()
	if s := w.servedBy(source); s != nil {
		return s
	}
	w.mu.Lock()
	running := w.running
	w.mu.Unlock()
	if !running {
		return nil
	}
	w.breaker.AddSource(source) // before anything of it is pulled: it may be paused
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &served{Source: Source{Name: source}}
	s.keep(w.newLanes(source))
	w.sources[source] = s
	return s
}

// scopesOf returns the scopes that each source depends on.
func scopesOf(sources map[string]*served) map[string][]string {
	scopes := make(map[string][]string, len(sources))
	for name, s := range sources {
		scopes[name] = s.Scopes
	}
	return scopes
}

// allLanes returns the lanes of all sources that are served.
func (w *Worker) allLanes() []*lane {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]*lane, 0, 2*len(w.sources))
	for _, s := range w.sources {
		if s.lanes[0] != nil {
			list = append(list, s.lanes[:]...)
		}
	}
	return list
}

// laneOf returns the lane of a consumer. For a consumer that this worker does not serve it
// returns a lane that has a name only and is never pulled from.
func (w *Worker) laneOf(consumer string) *lane {
	source, kind, ok := w.config.Prefix.ParseLaneConsumer(consumer)
	if l := w.servedBy(source).lane(kind); ok && l != nil {
		return l
	}
	l := w.newLane(w.pulling, source, kind, w.metrics.Others())
	l.consumer = consumer
	l.cancel()
	return l
}

func (w *Worker) newLane(ctx context.Context, source string, kind contract.Lane, counts *meter.Source) *lane {
	l := &lane{source: source, kind: kind, counts: counts, consumer: w.config.Prefix.SendConsumer(source), reason: make(chan struct{}, 1)}
	if kind == contract.LaneRequest {
		l.consumer = w.config.Prefix.RequestConsumer(source)
	}
	l.ctx, l.cancel = context.WithCancel(ctx)
	return l
}
