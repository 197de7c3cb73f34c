package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/worker/internal/tally"
)

// A worker learns in two ways what there is to pull. The queue republishes the headers of each
// stored message under another subject. And the worker looks at the queue now and then, for
// messages that it did not hear of, that a worker handed back that is gone, or that were there
// before.

const (
	// surveyEvery is how often a worker looks while there is something to do, and surveyMost
	// while there has not been for long.
	surveyEvery = time.Second
	surveyMost  = 8 * time.Second
	// surveyShare bounds the time that is spent looking: one part in so many.
	surveyShare = 20
	// backlogTimeout bounds a look at the queue.
	backlogTimeout = 5 * time.Second
	// pollMost is the longest time after which a puller whose messages do not come is asked again.
	pollMost = 2 * time.Second
)

// listen subscribes to the headers of stored messages. Without the permission to, messages are
// found by looking.
func (w *Worker) listen() (stop func(), err error) {
	sub, err := w.conn.Subscribe(w.config.Prefix.WakeSubjects(), func(msg *nats.Msg) {
		source, lane, ok := w.config.Prefix.ParseWake(msg.Subject)
		if !ok {
			return
		}
		if p := w.pullerFor(source, lane); p != nil {
			p.heard.Store(time.Now().UnixNano())
			w.open(p)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribing to %s: %w", w.config.Prefix.WakeSubjects(), err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

// lookNow has the worker look at the queue at once.
func (w *Worker) lookNow() {
	select {
	case w.look <- struct{}{}:
	default:
	}
}

// survey looks at the queue until ctx ends.
func (w *Worker) survey(ctx context.Context) {
	pause := surveyEvery
	for ctx.Err() == nil {
		if !w.conn.IsConnected() {
			w.troubles.pulls.Failed(w.config.Prefix.OutStream(), w.pullText(errNotConnected), errNotConnected, "stream", w.config.Prefix.OutStream())
			if !w.connected(ctx) {
				return
			}
		}
		began := time.Now()
		found, err := w.surveyed(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.metrics.Queue.Lost()
			w.troubles.pulls.Failed(w.config.Prefix.OutStream(), w.pullText(err), err, "stream", w.config.Prefix.OutStream())
			pause = surveyEvery
		default:
			w.troubles.pulls.Worked(w.config.Prefix.OutStream())
			if pause = min(pause+pause/4, surveyMost); found {
				pause = surveyEvery
			}
		}
		w.lines.Clean(time.Now())
		timer := time.NewTimer(max(pause, time.Since(began)*surveyShare))
		select {
		case <-timer.C:
		case <-w.look:
			pause = surveyEvery
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// surveyed opens the pullers of what is stored. found reports whether it opened a puller that was
// closed.
func (w *Worker) surveyed(ctx context.Context) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, backlogTimeout)
	defer cancel()
	queue := w.queue.Load()
	if queue == nil {
		stream, err := w.js.Stream(ctx, w.config.Prefix.OutStream())
		if err != nil {
			return false, err
		}
		queue = &stream
		w.queue.Store(queue)
	}
	info, err := (*queue).Info(ctx, jetstream.WithSubjectFilter(w.config.Prefix.OutSubjects()))
	if err != nil {
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			w.queueThere.Store(false)
		}
		return false, err
	}
	w.queueThere.Store(true)
	w.learnDecided(ctx)
	held, count := tally.OfQueue(w.config.Prefix, info, nil), make(map[*puller]int64)
	for waiting, n := range held.Messages {
		if p := w.pullerFor(waiting.Source, waiting.Lane); p != nil {
			count[p] += int64(n)
		}
	}
	now := time.Now()
	for _, p := range w.allPullers() {
		n := count[p]
		p.stored.Store(n)
		found = w.poll(p, n, now) || found
	}
	w.seen(ctx, held)
	return found, nil
}

// poll has a puller pull that has messages, and closes one that has none. A puller that was often
// asked in vain is asked less often. A look that finds nothing asks nobody: what is stored just
// after it is pulled at the next one.
func (w *Worker) poll(p *puller, n int64, now time.Time) (opened bool) {
	p.mu.Lock()
	running := p.running
	due := n > 0 && !now.Before(p.polled.Add(min(surveyEvery<<min(p.empty, 4), pollMost)-surveyEvery/2))
	if due {
		p.polled = now
	}
	p.mu.Unlock()
	switch {
	case due:
		w.open(p)
		return !running
	case n == 0 && running:
		p.notify()
	}
	return false
}
