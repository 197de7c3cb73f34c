package worker

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/worker/internal/breaker"
	"github.com/redoxworker/redoxworker/worker/internal/meter"
	"github.com/redoxworker/redoxworker/worker/internal/tally"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// newMeter makes what counts for Prometheus. No label holds anything of a message but its source
// and lane.
func (w *Worker) newMeter(r prometheus.Registerer) error {
	var err error
	w.metrics, err = meter.New(r, meter.Config{Sources: w.config.MetricSources, Paused: w.pausedScopes, Ring: w.ringNow, Slots: w.slotsNow})
	if err != nil {
		return fmt.Errorf("worker: registering metrics: %w", err)
	}
	w.metrics.Expect(len(w.config.Sources))
	return nil
}

// slotsNow are the messages in flight, those that may be, and the sources that are narrowed.
func (w *Worker) slotsNow() (inFlight, size, narrowed int) {
	if !w.hasBegun() {
		return 0, w.config.Concurrency, 0
	}
	return w.slots.InUse(), w.slots.Size(), len(w.slots.Narrowed())
}

// pausedScopes are what is paused, and the hosts that are not.
func (w *Worker) pausedScopes() (list []meter.Pause) {
	if !w.hasBegun() {
		return nil
	}
	for host, state := range w.breaker.Hosts() {
		if state == "closed" {
			list = append(list, meter.Pause{Kind: breaker.Kind(host), Scope: host})
		}
	}
	for _, e := range w.breaker.Entries() {
		list = append(list, meter.Pause{Kind: breaker.Kind(e.Scope), Scope: breaker.Shown(e.Scope), On: true})
	}
	return list
}

func (w *Worker) hasBegun() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun
}

// countAttempt counts an attempt that has ended.
func (w *Worker) countAttempt(d *delivery) {
	v := &d.verdict
	d.puller.counts.Attempt(meter.Attempt{Lane: d.message.Lane, Status: v.Answer.Status, Written: v.Counted || v.Answer.Status != 0,
		Again: v.Action == verdict.Retry, Unknown: v.Unknown, Took: d.took, Trace: w.trace.sampled(d)})
}

// countEnd counts the end of a delivery.
func (w *Worker) countEnd(d *delivery, kind EventKind) {
	switch kind {
	case EventSettled:
		d.puller.counts.Settled(meter.Settled{Lane: cmp.Or(d.message.Lane, d.puller.lane), Settlement: d.verdict.Settlement,
			Age: time.Since(d.message.Stored), Replay: d.message.ReplayOf != "", Trace: w.trace.sampled(d)})
	case EventAbandoned:
		w.metrics.LeasesLost.Inc()
	}
}

// oldestEvery is how often a worker asks for the oldest messages of sources, and oldestTimeout how
// long it gives the answers.
const (
	oldestEvery   = 15 * time.Second
	oldestTimeout = time.Second
)

// seen tells the metrics what a look at the queue found.
func (w *Worker) seen(ctx context.Context, held tally.Queue) {
	if w.config.Registerer == nil {
		return
	}
	unserved := held.Unserved(func(source string) bool { return w.servedBy(source) != nil })
	w.metrics.Queue.Look(meter.Seen{Queue: held, Unserved: unserved})
	if now := time.Now(); now.Sub(w.ranked) >= meter.RankEvery {
		w.ranked = now
		w.metrics.Rank(now)
	}
	if now := time.Now(); now.Sub(w.aged) >= oldestEvery {
		w.aged = now
		w.lookForOldest(ctx)
	}
}

// lookForOldest asks when the oldest messages of the sources that wait longest were stored. It
// gives up at the first that is not answered.
func (w *Worker) lookForOldest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, oldestTimeout)
	defer cancel()
	p := w.config.Prefix
	for _, source := range w.metrics.Queue.Ask() {
		stored, _, err := tally.Oldest(ctx, w.js, p.OutStream(), p.String()+".out."+source+".>")
		if err != nil {
			return
		}
		if !stored.IsZero() {
			w.metrics.Queue.Oldest(source, stored)
		}
	}
}

// ringNow tells the metrics of the ring.
func (w *Worker) ringNow() (r meter.Ring) {
	if r.There = w.config.Ring != nil; !r.There {
		return r
	}
	all, seals := w.config.Ring.Keys()
	r.Away = w.locked() != nil
	for _, k := range all {
		if k.Shredded.IsZero() {
			r.Keys++
		}
	}
	if seals.ID != "" {
		r.Age = time.Since(seals.Seals)
	}
	return r
}
