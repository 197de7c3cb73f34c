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

// open has a puller pull: there is reason to believe that it has a message. One without is
// nothing but a name. Where its source has left and come again, the puller in its place does.
func (w *Worker) open(p *puller) {
	if p.ctx.Err() != nil {
		if p = w.servedBy(p.source).puller(p.lane); p == nil {
			return
		}
	}
	p.notify()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running || p.ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		p.running = true
		w.tend(p)
	}
}

// tend runs a puller until it is empty or its source given up.
func (w *Worker) tend(p *puller) {
	w.pulls.Go(func() {
		for {
			w.pull(p)
			if p.leave() {
				return
			}
		}
	})
}

// pull takes what the puller has, through reconnects, pauses and consumers that are deleted and
// made anew, until there is no more.
func (w *Worker) pull(p *puller) {
	defer w.putBack(p)
	if time.Since(p.used) >= unusedFor/2 {
		p.bound.Store(false) // the server may have removed it, as it should
	}
	for attempt := 1; p.ctx.Err() == nil; {
		if !w.connected(p.ctx) || !w.unlocked(p.ctx, p) {
			return
		}
		if !p.bound.Load() {
			if err := w.bind(p.ctx, p); p.ctx.Err() != nil {
				return
			} else if err != nil {
				w.unpulled(p, err)
				backoff.Sleep(p.ctx, backoff.Exponential(250*time.Millisecond, 5*time.Second, attempt))
				attempt++
				continue
			}
			attempt = 1
		}
		again, err := w.take(p)
		switch {
		case err != nil && p.ctx.Err() == nil:
			w.pullError(p, err)
			backoff.Sleep(p.ctx, 250*time.Millisecond)
		case again:
			p.found(true)
		case !w.rest(p):
			return
		}
	}
}

// A puller that heard of a message and found none looks again, a moment later and then less and
// less often: the server says that a message is stored before its consumer knows of it.
const (
	hearsayFirst = 2 * time.Millisecond
	hearsayLast  = 500 * time.Millisecond
)

// rest waits for a reason to pull again after a pull that brought nothing; false when there is
// none to wait.
func (w *Worker) rest(p *puller) (goOn bool) {
	idle := p.found(false)
	var again <-chan time.Time
	if since := time.Since(time.Unix(0, p.heard.Load())); since < hearsayLast {
		timer := time.NewTimer(max(hearsayFirst, 3*since))
		defer timer.Stop()
		again = timer.C
	} else if idle && p.stored.Load() == 0 {
		return false
	}
	select {
	case <-p.reason:
	case <-again:
	case <-p.ctx.Done():
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

// consumer is the configuration of a puller's. It leaves the number of replicas to the stream.
// Neither MaxDeliver nor BackOff is set: the worker decides when to try again and when to give
// up, and the server would stop delivering without telling anybody.
func (w *Worker) consumer(p *puller) jetstream.ConsumerConfig {
	prefix := w.config.Prefix
	cfg := jetstream.ConsumerConfig{
		Name: p.consumer, Durable: p.consumer, DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: w.config.AckWait, MaxDeliver: -1, MaxAckPending: mostPending, MaxWaiting: mostPulls,
		InactiveThreshold: max(unusedFor, 2*w.config.Retry.Max, 2*w.config.AttemptTimeout),
	}
	if p.lane == contract.LaneRequest {
		cfg.FilterSubject = prefix.RequestSubject(p.source)
	} else {
		cfg.FilterSubjects = []string{prefix.SendSubject(p.source), prefix.SendSubject(p.source) + ".>"}
	}
	return cfg
}

// bind looks the consumer up, and makes it where there is none.
func (w *Worker) bind(ctx context.Context, p *puller) error {
	stream := w.config.Prefix.OutStream()
	consumer, err := w.js.Consumer(ctx, stream, p.consumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if consumer, err = w.js.CreateConsumer(ctx, stream, w.consumer(p)); errors.Is(err, jetstream.ErrConsumerExists) {
			consumer, err = w.js.Consumer(ctx, stream, p.consumer) // another worker was quicker
		}
	}
	if err != nil {
		return err
	}
	info := consumer.CachedInfo()
	if err := w.checkAckWait(info.Config.AckWait); err != nil {
		return err
	}
	p.replicated.Store(replicated(info.Cluster))
	if before := p.created.Swap(info.Created.UnixNano()); before != 0 && before != info.Created.UnixNano() && time.Since(p.used) < unusedFor {
		// Somebody has deleted it. Marks are confirmed by the new one, which gives what is in
		// flight here to others.
		p.remade.Store(time.Now().UnixNano())
		w.keeper.LoseAll(p.consumer)
	}
	p.bound.Store(true)
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
func (w *Worker) pullError(p *puller, err error) {
	w.metrics.PullErrors.Inc()
	if errors.Is(err, pull.ErrNoConsumer) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, pull.ErrNoAnswer) {
		p.bound.Store(false)
	}
	if w.conn.IsConnected() {
		w.unpulled(p, err)
	}
}

// pullBytes bounds one pull, so that large bodies do not overrun what the server buffers
// for a client. A message larger than the bound could never be pulled at all.
func (w *Worker) pullBytes() int {
	return max(w.config.PullBytes, int(w.conn.MaxPayload()))
}
