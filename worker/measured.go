package worker

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

// A lane of REQUESTs that found none rests for so long, at first and at most: it would have
// the next slot at once, and hand it on to the next such lane.
const (
	firstRest = 5 * time.Millisecond
	mostRest  = 50 * time.Millisecond
)

// measured pulls a message only when its request was granted, and has a slot: the way of
// all lanes while requests or slots are scarce. An idle lane waits for a message without
// either.
func (w *Worker) measured(ctx context.Context, l *lane, consumer jetstream.Consumer) {
	pulling, stop := w.interrupts.watch(ctx, l.source, untilPause|untilReconnect)
	defer stop()
	limiter, done := w.config.Limiter, func(bool) {}
	if limiter != nil {
		var err error
		if done, err = limiter.Acquire(pulling, l.source, l.kind); err != nil {
			return
		}
	}
	if w.slots.Acquire(pulling, l.source, l.class(), 1) == 0 {
		done(false)
		return
	}
	asked := time.Now()
	if msg := w.fetchNow(ctx, l, consumer); msg != nil {
		l.rest = 0
		w.begin(l, msg, asked, done)
		return
	}
	done(false)
	w.slots.Release(l.source, l.class())
	expiry := nextExpiry
	if l.kind == outbox.LaneRequest {
		if limiter != nil && limiter.Ready(l.kind) <= 0 {
			// Look again at the next grant: REQUESTs go first wherever one is had.
			l.rest = min(max(2*l.rest, firstRest), mostRest)
			sleep(ctx, l.rest)
			return
		}
		expiry = requestExpiry
	}
	w.next(ctx, l, consumer, expiry, w.runner(l))
}

// runner runs deliveries of a lane: of ordered ones one at a time.
func (w *Worker) runner(l *lane) func(*delivery) {
	if l.kind == outbox.LaneOrdered {
		return w.deliver
	}
	return w.pool.Start
}

// begin delivers a message that has its request and its slot.
func (w *Worker) begin(l *lane, msg jetstream.Msg, asked time.Time, done func(sent bool)) {
	d := w.receive(l, msg, w.since(asked))
	if d != nil {
		extra := w.ownScopes(d)
		again := w.breaker.Blocked(l.source, extra)
		if again == 0 {
			if d.permit, _ = w.breaker.TryAdmit(l.source, extra...); d.permit != nil {
				d.grant.done = done
				w.runner(l)(d)
				return
			}
		}
		w.refuse(d, again)
	}
	done(false)
	w.slots.Release(l.source, l.class())
}

// fetchNow pulls a message if there is one.
func (w *Worker) fetchNow(ctx context.Context, l *lane, consumer jetstream.Consumer) jetstream.Msg {
	batch, err := consumer.FetchNoWait(1)
	if err == nil {
		if msg := <-batch.Messages(); msg != nil {
			return msg
		}
		err = batch.Error()
	}
	if err != nil && !errors.Is(err, nats.ErrTimeout) {
		w.pullError(ctx, l, err)
		sleep(ctx, 250*time.Millisecond)
	}
	return nil
}
