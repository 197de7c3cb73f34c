package worker

import (
	"context"
	"errors"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/meter"
)

// SetSources replaces the sources that the worker serves, before Run or while it runs. A new
// source is served at once. The worker stops pulling from a source that is left out, and delivers
// its messages in flight with the functions that it had. A source that stays is served without a
// break: its new scopes apply to messages pulled from now on, its new functions also to messages
// already in hand. An error names every bad source and changes nothing. It is safe for concurrent
// use.
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
			s.keep(old.pullers)
		} else if w.running {
			s.keep(w.newPullers(source.Name))
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
			s.pullers[0].cancel()
			s.pullers[1].cancel()
		}
	}
	w.lookNow()
	return nil
}

// newPullers makes the pullers of a source. The caller holds the mutex, or is alone.
func (w *Worker) newPullers(source string) [2]*puller {
	counts := w.metrics.Source(source)
	return [2]*puller{w.newPuller(w.pulling, source, contract.LaneSend, counts), w.newPuller(w.pulling, source, contract.LaneRequest, counts)}
}

// pullerFor returns the puller of messages of a lane; nil if its source is not served. Where all
// sources are served, it begins to serve a new one.
func (w *Worker) pullerFor(source string, lane contract.Lane) *puller {
	s := w.servedBy(source)
	if s == nil && w.config.AllSources {
		s = w.adopt(source)
	}
	return s.puller(lane)
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
	s.keep(w.newPullers(source))
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

// allPullers returns the pullers of all sources that are served.
func (w *Worker) allPullers() []*puller {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]*puller, 0, 2*len(w.sources))
	for _, s := range w.sources {
		if s.pullers[0] != nil {
			list = append(list, s.pullers[:]...)
		}
	}
	return list
}

// pullerOf returns the puller of a consumer. For a consumer that this worker does not serve it
// returns a puller that has a name only and is never pulled from.
func (w *Worker) pullerOf(consumer string) *puller {
	source, lane, ok := w.config.Prefix.ParseLaneConsumer(consumer)
	if p := w.servedBy(source).puller(lane); ok && p != nil {
		return p
	}
	p := w.newPuller(w.pulling, source, lane, w.metrics.Others())
	p.consumer = consumer
	p.cancel()
	return p
}

func (w *Worker) newPuller(ctx context.Context, source string, lane contract.Lane, counts *meter.Source) *puller {
	p := &puller{source: source, lane: lane, counts: counts, consumer: w.config.Prefix.SendConsumer(source), reason: make(chan struct{}, 1)}
	if lane == contract.LaneRequest {
		p.consumer = w.config.Prefix.RequestConsumer(source)
	}
	p.ctx, p.cancel = context.WithCancel(ctx)
	return p
}
