package worker

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/worker/internal/ack"
	"github.com/redoxworker/redoxworker/worker/internal/limit"
)

// lease is the worker's hold on one delivered message: the server gives the message to
// another worker when it hears nothing for the ack wait.
type lease struct {
	leaseKey
	subject string // ack subject of the delivery
	cancel  context.CancelCauseFunc

	// guarded by keeper.mu
	expires time.Time    // as far as this worker knows for certain
	marked  [3]time.Time // when in-progress marks were sent, the last one first
	lost    bool
	bound   time.Time // when the attempt under it is cancelled; zero when there is none
	begun   time.Time // when that attempt began; zero as long as there was none
	server  string    // that delivered the message; "" when others would know of it too
}

// leaseKey tells messages apart: a queue that was made anew gives sequences away again.
type leaseKey struct {
	sequence uint64 // in the stream
	stored   int64  // when, in Unix nanoseconds
}

// keeper renews leases with in-progress marks that ask for a confirmation: while the
// connection is down a mark is buffered and proves nothing. A lease whose confirmation
// does not come before it ends is lost, and the attempt under it is cancelled.
//
// A mark says nothing about who holds the message: JetStream accepts it also from a
// worker that lost it. What cannot be known here is told apart by the clock alone.
type keeper struct {
	conn    *nats.Conn
	ackWait time.Duration
	inbox   string
	// restarts tells which server answers.
	restarts *restarts

	mu     sync.Mutex
	leases map[leaseKey]*lease
	ended  error // why no attempt may go on; nil as long as they may

	seen atomic.Pointer[time.Time]
}

func newKeeper(conn *nats.Conn, ackWait time.Duration, r *restarts) *keeper {
	k := &keeper{conn: conn, ackWait: ackWait, inbox: conn.NewInbox(), restarts: r, leases: make(map[leaseKey]*lease)}
	now := time.Now()
	k.seen.Store(&now)
	return k
}

// alive is when this process was last seen running without a gap. A process that was
// suspended (SIGSTOP, a frozen container) must not take what waited in its buffers
// meanwhile for fresh: until half an ack wait after it went on, the answer is a moment
// before the gap.
func (k *keeper) alive() time.Time { return *k.seen.Load() }

// period of the keeper's beats.
func (k *keeper) period() time.Duration { return k.ackWait / 10 }

// hold starts to keep a message that was delivered at or after the given time: the lease
// has its key, subject and cancel, which is called with ErrLeaseLost when the lease
// ends. It answers false when this worker holds the message already: the server delivered
// it once more while its settlement is under way, as after a restart. replicated says that
// a restart of a server changes nothing.
func (k *keeper) hold(l *lease, delivered time.Time, replicated bool) bool {
	l.expires, l.marked[0] = delivered.Add(k.ackWait), delivered
	if !replicated {
		l.server = k.restarts.look()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leases[l.leaseKey] != nil {
		return false
	}
	k.leases[l.leaseKey] = l
	if k.ended != nil {
		l.cancel(k.ended)
	}
	return true
}

// end cancels all attempts, and those to come. What is held stays held.
func (k *keeper) end(cause error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = cause
	for _, l := range k.leases {
		l.cancel(cause)
	}
}

// lose ends the leases of what a consumer has delivered.
func (k *keeper) lose(consumer string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.leases {
		if !l.lost && consumerOf(l.subject) == consumer {
			l.lost = true
			l.cancel(ErrLeaseLost)
		}
	}
}

// holds reports whether the lease holds still, as far as this worker can know.
func (k *keeper) holds(l *lease) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !l.lost && !l.over(time.Now())
}

// stale reports whether the message is to be left alone although its lease holds: the server
// that delivered it is gone, and the one that answers now may have given it to another worker.
func (k *keeper) stale(l *lease) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.forgotten(l)
}

// bound has the attempt under the lease, which begins now, cancelled with ErrAttemptTimeout at the
// first beat after end, unless the lease was released or end is zero.
func (k *keeper) bound(l *lease, now, end time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.begun, l.bound = now, end
}

// leasedSince are messages of one consumer.
type leasedSince struct {
	n     int
	first time.Time // when the attempt at the one began that began first
}

// sending are the messages, by consumer, whose attempt began before an instant and that are not
// settled yet.
func (k *keeper) sending(before time.Time) map[string]leasedSince {
	found := make(map[string]leasedSince)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.leases {
		if l.begun.IsZero() || l.lost || !l.begun.Before(before) {
			continue
		}
		s := found[consumerOf(l.subject)]
		if s.n++; s.n == 1 || l.begun.Before(s.first) {
			s.first = l.begun
		}
		found[consumerOf(l.subject)] = s
	}
	return found
}

// forget stops the marks: none is sent once it returned.
func (k *keeper) forget(l *lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leases[l.leaseKey] == l {
		delete(k.leases, l.leaseKey)
	}
}

// release stops the marks: none is sent once it returned. It reports whether the message
// may be given back: the lease holds, the server knows of it still, and there is a
// connection, so that the negative acknowledgement does not travel much later.
func (k *keeper) release(l *lease) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.leases, l.leaseKey)
	return !l.lost && !l.over(time.Now()) && !k.forgotten(l) && k.conn.IsConnected()
}

// forgotten reports whether the server that delivered the message may have forgotten it.
func (k *keeper) forgotten(l *lease) bool { return l.server != "" && l.server != k.restarts.look() }

// run sends marks until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	sub, err := k.conn.Subscribe(k.inbox+".*.*.*", k.confirmed)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	period := k.period()
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for pulse := newPulse(period, time.Now()); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now := time.Now()
		k.restarts.look()
		if pulse.beat(now) {
			k.seen.Store(&now)
		}
		k.beat(now)
	}
}

// end gives a lease up when its time has come. The keeper's mutex is held.
func (l *lease) end(now time.Time) {
	if !l.lost && l.over(now) {
		l.lost = true
		l.cancel(ErrLeaseLost)
	}
}

// over reports whether the lease has ended by either clock: one may be set back, the other
// stands still while the machine sleeps.
func (l *lease) over(now time.Time) bool {
	return !now.Before(l.expires) || !now.Round(0).Before(l.expires.Round(0))
}

// leasedContext is that of an attempt. Whoever asks it for its error learns of the end of
// the lease at once, not only at the next beat of the keeper: a process that was suspended
// just before it sent a request finds out before it does.
type leasedContext struct {
	context.Context
	keeper *keeper
	lease  lease
	answer limit.Room
}

// Value answers the room of the attempt's answer itself, as [grant.Value] does.
func (c *leasedContext) Value(key any) any {
	if key == (roomKey{}) {
		return &c.answer
	}
	return c.Context.Value(key)
}

// Cancel lets the Deliverer end the attempt itself, see [Deliverer].
func (c *leasedContext) Cancel(cause error) { c.lease.cancel(endedByDeliverer{cause}) }

// endedByDeliverer is the cause of an attempt that its Deliverer ended.
type endedByDeliverer struct{ error }

// Unwrap answers what the Deliverer gave.
func (e endedByDeliverer) Unwrap() error { return e.error }

// Err implements [context.Context].
func (c *leasedContext) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	c.keeper.mu.Lock()
	c.lease.end(time.Now())
	c.keeper.mu.Unlock()
	return c.Context.Err()
}

// beat marks every lease that has not been marked for a third of the ack wait, gives up
// those that have ended, and cancels attempts that never end.
func (k *keeper) beat(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.leases {
		l.end(now)
		if !l.bound.IsZero() && !now.Before(l.bound) {
			l.cancel(ErrAttemptTimeout) // of no effect when the lease was lost first
		}
		if l.lost || now.Sub(l.marked[0]) < k.ackWait/3 {
			continue
		}
		l.marked = [...]time.Time{now, l.marked[0], l.marked[1]} // older ones renew nothing any more
		reply := k.inbox + "." + strconv.FormatUint(l.sequence, 10) + "." + strconv.FormatInt(l.stored, 10) + "." + strconv.FormatInt(now.UnixNano(), 10)
		ack.InProgress(k.conn, l.subject, reply)
	}
}

// confirmed renews the lease named in the confirmation's subject from the moment its
// mark was sent. A status is none: while a consumer has no leader, nobody is there to
// answer a mark, and the server says so.
func (k *keeper) confirmed(msg *nats.Msg) {
	if msg.Header.Get("Status") != "" {
		return
	}
	rest, sent, ok := cutLast(msg.Subject)
	if !ok {
		return
	}
	rest, stored, _ := cutLast(rest)
	_, seq, _ := cutLast(rest)
	var key leaseKey
	var nanos int64
	var errs [3]error
	key.sequence, errs[0] = strconv.ParseUint(seq, 10, 64)
	key.stored, errs[1] = strconv.ParseInt(stored, 10, 64)
	nanos, errs[2] = strconv.ParseInt(sent, 10, 64)
	if errs != [3]error{} {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.leases[key]
	if l == nil || l.lost || k.forgotten(l) {
		return
	}
	for _, sent := range l.marked {
		if expires := sent.Add(k.ackWait); sent.UnixNano() == nanos && expires.After(l.expires) {
			l.expires = expires
		}
	}
}

func cutLast(subject string) (before, last string, ok bool) {
	i := strings.LastIndexByte(subject, '.')
	if i < 0 {
		return "", subject, false
	}
	return subject[:i], subject[i+1:], true
}
