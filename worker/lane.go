package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/breaker"
	"github.com/redoxworker/redoxworker/worker/internal/limit"
)

// Pull settings. A short expiry and heartbeat bound the stand-still after a wake-up that
// nats.go can lose (a pull issued while the last buffered message is handled) to 2 s.
const (
	pullExpiry    = 5 * time.Second
	pullHeartbeat = time.Second
	// nextExpiry is that of a pull for a single message, which cannot lose its wake-up;
	// reconnects and pauses interrupt it.
	nextExpiry = 30 * time.Second
	// requestExpiry is that of a REQUEST lane while the limiter has its requests granted one
	// by one: a worker that waits for a message for long may have nothing left to send it by.
	requestExpiry = time.Second
)

// lane is one durable consumer and the goroutine that pulls from it.
type lane struct {
	source   string
	kind     outbox.Lane
	consumer string
	series   series
	bound    atomic.Bool
	// replicated: several servers keep the consumer's state.
	replicated atomic.Bool
	// created is when the consumer was made, in Unix nanoseconds.
	created atomic.Int64
	// recovery is when the lane is looked at again that has failed; under failed.
	failed   sync.Mutex
	recovery *time.Timer
	// rest is how long a lane of REQUESTs last rested; see measured.
	rest time.Duration
}

// lanes lists the lanes of every source.
func (c Config) lanes() []*lane {
	var list []*lane
	for _, s := range c.Sources {
		list = append(list,
			&lane{source: s.Name, kind: outbox.LaneSend, consumer: c.Prefix.SendConsumer(s.Name)},
			&lane{source: s.Name, kind: outbox.LaneRequest, consumer: c.Prefix.RequestConsumer(s.Name)})
		for n := range max(0, c.Partitions) {
			list = append(list, &lane{source: s.Name, kind: outbox.LaneOrdered, consumer: c.Prefix.OrderedConsumer(s.Name, n)})
		}
	}
	return list
}

// class is what the lane's messages take their slots of.
func (l *lane) class() limit.Class {
	if l.kind == outbox.LaneRequest {
		return limit.Request
	}
	return limit.Send
}

// tend runs a lane until ctx ends. A Deliverer that ends its goroutine ends the lane's where
// they are one: then another goes on.
func (w *Worker) tend(ctx context.Context, pulls *sync.WaitGroup, l *lane) {
	pulls.Go(func() {
		defer func() {
			if ctx.Err() == nil {
				w.tend(ctx, pulls, l)
			}
		}()
		w.pull(ctx, l)
	})
}

// pull runs a lane until ctx ends, through reconnects, pauses and consumers that are
// deleted and made anew.
func (w *Worker) pull(ctx context.Context, l *lane) {
	for ctx.Err() == nil {
		consumer := w.bind(ctx, l)
		for ctx.Err() == nil && l.bound.Load() {
			switch state := w.breaker.Wait(ctx, l.source); {
			case state == breaker.Paused:
			case state == breaker.Probing:
				w.next(ctx, l, consumer, nextExpiry, w.runner(l)) // while it probes, its source waits
			case !w.plenty(l) || w.slots.Full(l.source, l.class()):
				w.measured(ctx, l, consumer)
			case l.kind == outbox.LaneOrdered:
				w.next(ctx, l, consumer, nextExpiry, w.deliver)
			default:
				w.consume(ctx, l, consumer)
			}
		}
	}
}

// bind looks the consumer up until it is there.
func (w *Worker) bind(ctx context.Context, l *lane) jetstream.Consumer {
	for attempt := 1; ; attempt++ {
		consumer, err := w.js.Consumer(ctx, w.config.Prefix.OutStream(), l.consumer)
		if err == nil {
			err = w.checkAckWait(consumer.CachedInfo().Config.AckWait)
		}
		if err == nil {
			l.replicated.Store(replicated(consumer.CachedInfo().Cluster))
			l.created.Store(consumer.CachedInfo().Created.UnixNano())
			l.bound.Store(true)
			return consumer
		}
		if ctx.Err() != nil {
			return nil
		}
		w.unpulled(l, err)
		sleep(ctx, doubling(250*time.Millisecond, 5*time.Second, attempt))
	}
}

// checkAckWait refuses a consumer whose messages another worker would get, and send, while
// this one believes that they are its own.
func (w *Worker) checkAckWait(wait time.Duration) error {
	if wait >= w.config.AckWait {
		return nil
	}
	return fmt.Errorf("its ack wait of %v is shorter than the worker's of %v: provision with that of the worker, or give the worker this one", wait, w.config.AckWait)
}

// consume pulls with a window until the source is paused, requests become scarce, the
// consumer is gone or ctx ends. What is buffered then goes back to the server at once.
//
// After a reconnect or a missed heartbeat the client pulls anew whatever it has in its
// buffer. By then that is more than one window, whose age nobody knows: it goes back too.
func (w *Worker) consume(ctx context.Context, l *lane, consumer jetstream.Consumer) {
	size := w.pullWindow()
	pulling, stop := w.interrupts.watchWindow(ctx, l.source, untilPause|untilReconnect, size)
	defer stop()
	w.restarts.look() // before the window opens: what comes into it comes from this server
	window := newWindow(size, time.Now())
	cc, err := consumer.Consume(func(msg jetstream.Msg) {
		w.take(entry{ctx, pulling, stop}, l, msg, window)
	},
		jetstream.PullMaxMessagesWithBytesLimit(size, w.pullBytes()),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			w.pullError(pulling, l, err)
			if errors.Is(err, jetstream.ErrNoHeartbeat) || !l.bound.Load() {
				stop()
			}
		}))
	if err != nil {
		w.pullError(pulling, l, err)
		sleep(pulling, time.Second)
		return
	}
	select {
	case <-pulling.Done():
	case <-cc.Closed():
		l.bound.Store(false)
		return
	}
	w.drain(cc)
}

// drain has what is buffered handed back. It waits a moment for that; what takes longer, as
// with a server that is far away, Run waits for.
func (w *Worker) drain(cc jetstream.ConsumeContext) {
	cc.Drain()
	if waitFor(cc.Closed(), stepTimeout) {
		return
	}
	w.drains.Go(func() {
		for w.conn.IsConnected() && w.settling.Err() == nil {
			select {
			case <-cc.Closed():
				return
			case <-w.settling.Done():
			case <-time.After(stepTimeout):
			}
		}
		cc.Stop() // no server to drain to: what is buffered comes again after the ack wait
	})
}

// take admits one message of a window and starts its delivery. While it waits for a slot
// the window stays shut.
func (w *Worker) take(e entry, l *lane, msg jetstream.Msg, window *window) {
	alive := w.keeper.alive()
	since := w.keeper.trust(window.begin(alive), alive)
	defer window.end()
	if time.Since(since) > w.config.AckWait*2/3 {
		w.metrics.ignored.WithLabelValues("stale").Inc()
		return
	}
	if !l.replicated.Load() && w.restarts.after(since) {
		w.metrics.ignored.WithLabelValues("restart").Inc()
		return
	}
	d := w.receive(l, msg, since)
	if d == nil {
		return
	}
	if ok, again := w.enter(e, d, since); !ok {
		w.refuse(d, again)
		return
	}
	w.pool.Start(d)
}

// entry is how a message that was pulled comes to be delivered.
type entry struct {
	ctx     context.Context // of the lane
	pulling context.Context // ends with ctx, and when the source is paused
	scarce  func()          // called when the message has to wait for its request to be granted, or long for a slot; may end pulling
}

// enter waits for admission, a granted request and a slot; not ok when ctx ended, the
// source or what the message itself depends on was paused, too little may be sent, or no
// slot was free for long: the message is to be given back, for others to have at once or
// after a while. since is the earliest time it can have been delivered.
func (w *Worker) enter(e entry, d *delivery, since time.Time) (ok bool, again time.Duration) {
	if e.pulling.Err() != nil {
		return false, 0
	}
	l := d.lane
	extra := w.ownScopes(d)
	if again := w.breaker.Blocked(l.source, extra); again > 0 {
		return false, again
	}
	if d.permit = w.breaker.Admit(e.pulling, l.source, extra...); d.permit == nil {
		return false, 0
	}
	waiting := e.pulling
	done, ok := w.granted(e.ctx, l, func() { e.scarce(); waiting = e.ctx })
	if !ok {
		d.permit.Drop()
		return false, 0
	}
	d.grant.done = done
	if w.slot(waiting, l, since, e.scarce) {
		return true, 0
	}
	d.grant.end(false)
	d.permit.Drop()
	return false, 0
}

// slot has a slot taken for a message of the lane; scarce is called when none was free for
// long. What was pulled after the message waits behind it: it would lie idle, and look as
// if it had been sent, when its ack wait is over.
func (w *Worker) slot(ctx context.Context, l *lane, since time.Time, scarce func()) bool {
	if w.slots.TryAcquire(l.source, l.class(), 1) == 1 {
		return true
	}
	waiting, cancel := context.WithDeadline(ctx, since.Add(w.config.AckWait/3))
	defer cancel()
	if w.slots.Acquire(waiting, l.source, l.class(), 1) == 1 {
		return true
	}
	scarce()
	return false
}

// ownScopes are the pause scopes of a message that its source does not have.
func (w *Worker) ownScopes(d *delivery) []string {
	if scopes := w.scopes[d.lane.source]; scopes != nil && d.contract == nil {
		return scopes(d.message)
	}
	return nil
}

// next pulls a single message and runs it: the way of ordered lanes, and of all while a
// pause is being probed, or requests or slots are scarce.
func (w *Worker) next(ctx context.Context, l *lane, consumer jetstream.Consumer, expiry time.Duration, run func(*delivery)) {
	asked := time.Now()
	// Not until a pause: a message that is on its way to a pull that ended would lie idle for
	// the ack wait. One that comes during a pause is handed back.
	fetch, stop := w.interrupts.watch(ctx, l.source, untilReconnect)
	fetch, cancel := context.WithTimeout(fetch, expiry)
	msg, err := consumer.Next(jetstream.FetchContext(fetch))
	interrupted := fetch.Err() != nil
	cancel()
	stop()
	if err != nil {
		switch {
		case interrupted:
		case errors.Is(err, nats.ErrTimeout):
			w.troubles.pulls.Worked(l.consumer)
		default:
			w.pullError(ctx, l, err)
			sleep(ctx, 250*time.Millisecond)
		}
		return
	}
	since := w.since(asked)
	d := w.receive(l, msg, since)
	if d == nil {
		return
	}
	if ok, again := w.enter(entry{ctx, ctx, func() {}}, d, since); !ok {
		w.refuse(d, again)
		return
	}
	run(d)
}

// since is the earliest moment at which a message that was asked for can have been
// delivered: it was not there yet when this process was last seen waiting for it.
func (w *Worker) since(asked time.Time) time.Time {
	if alive := w.keeper.alive(); alive.After(asked) {
		return alive
	}
	return asked
}

// pullError notes what went wrong with a pull. A consumer that is gone is bound anew.
func (w *Worker) pullError(ctx context.Context, l *lane, err error) {
	if ctx.Err() != nil {
		return
	}
	w.metrics.pullErrors.Inc()
	if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, nats.ErrNoResponders) {
		l.bound.Store(false)
	}
	if errors.Is(err, jetstream.ErrNoHeartbeat) && w.conn.IsConnected() {
		w.log.Debug("pull heartbeat missed", "consumer", l.consumer)
		return
	}
	w.unpulled(l, err)
}

// pullWindow is how many messages a lane may have in hand: as many as can be in flight,
// so that the window never starves the slots and hardly outlives a lease. Half of a larger
// one is pulled anew before the other half is through.
func (w *Worker) pullWindow() int { return min(w.slots.Size(), maxWindow) }

const maxWindow = 500

// pullBytes bounds one pull, so that large bodies do not overrun what the server buffers
// for a client. A message larger than the bound could never be pulled at all.
func (w *Worker) pullBytes() int {
	return max(w.config.PullBytes, int(w.conn.MaxPayload()))
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
