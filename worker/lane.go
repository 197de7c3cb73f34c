package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/pull"
)

// open has a lane pull: there is reason to believe that it has a message. One without is
// nothing but a name. Where its source has left and come again, the lane in its place does.
func (w *Worker) open(l *lane) {
	if l.ctx.Err() != nil {
		if l = w.servedBy(l.source).lane(l.kind); l == nil {
			return
		}
	}
	l.notify()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running || l.ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		l.running = true
		w.tend(l)
	}
}

// tend runs a lane until it is empty or its source given up.
func (w *Worker) tend(l *lane) {
	w.pulls.Go(func() {
		for {
			w.pull(l)
			if l.leave() {
				return
			}
		}
	})
}

// pull takes what the lane has, through reconnects, pauses and consumers that are deleted and
// made anew, until there is no more.
func (w *Worker) pull(l *lane) {
	defer w.putBack(l)
	if time.Since(l.used) >= unusedFor/2 {
		l.bound.Store(false) // the server may have removed it, as it should
	}
	for attempt := 1; l.ctx.Err() == nil; {
		if !w.connected(l.ctx) || !w.unlocked(l.ctx, l) {
			return
		}
		if !l.bound.Load() {
			if err := w.bind(l.ctx, l); l.ctx.Err() != nil {
				return
			} else if err != nil {
				w.unpulled(l, err)
				backoff.Sleep(l.ctx, backoff.Exponential(250*time.Millisecond, 5*time.Second, attempt))
				attempt++
				continue
			}
			attempt = 1
		}
		again, err := w.take(l)
		switch {
		case err != nil && l.ctx.Err() == nil:
			w.pullError(l, err)
			backoff.Sleep(l.ctx, 250*time.Millisecond)
		case again:
			l.found(true)
		case !w.rest(l):
			return
		}
	}
}

// A lane that heard of a message and found none looks again, a moment later and then less and
// less often: the server says that a message is stored before its consumer knows of it.
const (
	hearsayFirst = 2 * time.Millisecond
	hearsayLast  = 500 * time.Millisecond
)

// rest waits for a reason to pull again after a pull that brought nothing; false when there is
// none to wait.
func (w *Worker) rest(l *lane) (goOn bool) {
	idle := l.found(false)
	var again <-chan time.Time
	if since := time.Since(time.Unix(0, l.heard.Load())); since < hearsayLast {
		timer := time.NewTimer(max(hearsayFirst, 3*since))
		defer timer.Stop()
		again = timer.C
	} else if idle && l.stored.Load() == 0 {
		return false
	}
	select {
	case <-l.reason:
	case <-again:
	case <-l.ctx.Done():
	}
	return true
}

// connected waits for a connection: what is asked for without one piles up in the client.
func (w *Worker) connected(ctx context.Context) bool {
	for pause := 10 * time.Millisecond; !w.conn.IsConnected() && ctx.Err() == nil; pause = min(2*pause, 250*time.Millisecond) {
		backoff.Sleep(ctx, pause)
	}
	return ctx.Err() == nil
}

// Limits of a consumer. What waits for its retry is pending, and what waits behind the head of
// its token: the server would deliver nothing else of the source beyond the limit.
const (
	mostPending = 1 << 20
	// mostPulls bounds the pulls that wait at a consumer. None does for long.
	mostPulls = 2048
	// unusedFor is after what time the server removes a consumer that nobody asks and that has
	// nothing acknowledged, at least.
	unusedFor = 30 * time.Minute
)

// consumer is the configuration of a lane's. It leaves the number of replicas to the stream.
// Neither MaxDeliver nor BackOff is set: the worker decides when to try again and when to give
// up, and the server would stop delivering without telling anybody.
func (w *Worker) consumer(l *lane) jetstream.ConsumerConfig {
	p := w.config.Prefix
	cfg := jetstream.ConsumerConfig{
		Name: l.consumer, Durable: l.consumer, DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: w.config.AckWait, MaxDeliver: -1, MaxAckPending: mostPending, MaxWaiting: mostPulls,
		InactiveThreshold: max(unusedFor, 2*w.config.Retry.Max, 2*w.config.AttemptTimeout),
	}
	if l.kind == contract.LaneRequest {
		cfg.FilterSubject = p.RequestSubject(l.source)
	} else {
		cfg.FilterSubjects = []string{p.SendSubject(l.source), p.SendSubject(l.source) + ".>"}
	}
	return cfg
}

// bind looks the consumer up, and makes it where there is none.
func (w *Worker) bind(ctx context.Context, l *lane) error {
	stream := w.config.Prefix.OutStream()
	consumer, err := w.js.Consumer(ctx, stream, l.consumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if consumer, err = w.js.CreateConsumer(ctx, stream, w.consumer(l)); errors.Is(err, jetstream.ErrConsumerExists) {
			consumer, err = w.js.Consumer(ctx, stream, l.consumer) // another worker was quicker
		}
	}
	if err != nil {
		return err
	}
	info := consumer.CachedInfo()
	if err := w.checkAckWait(info.Config.AckWait); err != nil {
		return err
	}
	l.replicated.Store(replicated(info.Cluster))
	if before := l.created.Swap(info.Created.UnixNano()); before != 0 && before != info.Created.UnixNano() && time.Since(l.used) < unusedFor {
		// Somebody has deleted it. Marks are confirmed by the new one, which gives what is in
		// flight here to others.
		l.remade.Store(time.Now().UnixNano())
		w.keeper.LoseAll(l.consumer)
	}
	l.bound.Store(true)
	return nil
}

// checkAckWait refuses a consumer whose messages another worker would get, and send, while
// this one believes that they are its own.
func (w *Worker) checkAckWait(wait time.Duration) error {
	if wait >= w.config.AckWait {
		return nil
	}
	return fmt.Errorf("its ack wait of %v is shorter than the worker's of %v: give all workers of a source the same, and delete the consumer when none runs", wait, w.config.AckWait)
}

// pullError notes what went wrong with a pull. A consumer that is gone is bound anew.
func (w *Worker) pullError(l *lane, err error) {
	w.metrics.PullErrors.Inc()
	if errors.Is(err, pull.ErrNoConsumer) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, pull.ErrNoAnswer) {
		l.bound.Store(false)
	}
	if w.conn.IsConnected() {
		w.unpulled(l, err)
	}
}

// pullBytes bounds one pull, so that large bodies do not overrun what the server buffers
// for a client. A message larger than the bound could never be pulled at all.
func (w *Worker) pullBytes() int {
	return max(w.config.PullBytes, int(w.conn.MaxPayload()))
}
