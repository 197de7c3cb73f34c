package lease

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/worker/internal/ack"
)

// Keeper renews leases with in-progress marks that ask for a confirmation: while the
// connection is down a mark is buffered and proves nothing. A lease whose confirmation
// does not come before it ends is lost, and the attempt under it is cancelled.
//
// A mark says nothing about who holds the message: JetStream accepts it also from a
// worker that lost it. What cannot be known here is told apart by the clock alone.
type Keeper struct {
	conn    *nats.Conn
	ackWait time.Duration
	inbox   string
	// restarts tells which server answers.
	restarts *Restarts

	mu     sync.Mutex
	leases map[Key]*Lease
	ended  error // why no attempt may go on; nil as long as they may

	seen atomic.Pointer[time.Time]
}

// NewKeeper returns a keeper of leases that last for ackWait unless they are renewed. It makes no
// request; Run renews.
func NewKeeper(conn *nats.Conn, ackWait time.Duration, r *Restarts) *Keeper {
	k := &Keeper{conn: conn, ackWait: ackWait, inbox: conn.NewInbox(), restarts: r, leases: make(map[Key]*Lease)}
	now := time.Now()
	k.seen.Store(&now)
	return k
}

// Alive is when this process was last seen running without a gap. A process that was
// suspended (SIGSTOP, a frozen container) must not take what waited in its buffers
// meanwhile for fresh: until half an ack wait after it went on, the answer is a moment
// before the gap.
func (k *Keeper) Alive() time.Time { return *k.seen.Load() }

// period of the keeper's beats.
func (k *Keeper) period() time.Duration { return k.ackWait / 10 }

// Hold starts to keep a message that was delivered at or after the given time. It returns false
// when this worker holds the message already: the server delivered it once more while its
// settlement is under way, as after a restart. replicated says that a restart of a server changes
// nothing.
func (k *Keeper) Hold(l *Lease, delivered time.Time, replicated bool) bool {
	l.expires, l.marked[0] = delivered.Add(k.ackWait), delivered
	if !replicated {
		l.server = k.restarts.Look()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leases[l.Key] != nil {
		return false
	}
	k.leases[l.Key] = l
	if k.ended != nil {
		l.Cancel(k.ended)
	}
	return true
}

// End cancels all attempts, and those to come. What is held stays held.
func (k *Keeper) End(cause error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = cause
	for _, l := range k.leases {
		l.Cancel(cause)
	}
}

// LoseAll ends the leases of what a consumer has delivered.
func (k *Keeper) LoseAll(consumer string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.leases {
		if !l.lost && l.Consumer == consumer {
			l.lost = true
			l.Cancel(ErrLost)
		}
	}
}

// Holds reports whether the lease holds still, as far as this worker can know.
func (k *Keeper) Holds(l *Lease) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !l.lost && !l.over(time.Now())
}

// Stale reports whether the message is to be left alone although its lease holds: the server
// that delivered it is gone, and the one that answers now may have given it to another worker.
func (k *Keeper) Stale(l *Lease) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.forgotten(l)
}

// Begin notes that the attempt under the lease begins now. It is cancelled with
// ErrAttemptTimeout at the first beat after end, unless the lease is released before or end is
// zero.
func (k *Keeper) Begin(l *Lease, now, end time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.begun, l.bound = now, end
}

// Sending returns the attempts that began before an instant, by consumer, of messages that are
// not settled yet.
func (k *Keeper) Sending(before time.Time) map[string]Attempts {
	found := make(map[string]Attempts)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.leases {
		if l.begun.IsZero() || l.lost || !l.begun.Before(before) {
			continue
		}
		s := found[l.Consumer]
		if s.Messages++; s.Messages == 1 || l.begun.Before(s.First) {
			s.First = l.begun
		}
		found[l.Consumer] = s
	}
	return found
}

// Held returns the sequences of the messages that are held, by consumer, at most so many of them.
func (k *Keeper) Held(most int) map[string][]uint64 {
	held := make(map[string][]uint64)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.leases {
		if l.lost {
			continue
		}
		if most--; most < 0 {
			break
		}
		held[l.Consumer] = append(held[l.Consumer], l.Sequence)
	}
	return held
}

// Forget stops the marks: none is sent once it returned.
func (k *Keeper) Forget(l *Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leases[l.Key] == l {
		delete(k.leases, l.Key)
	}
}

// Release stops the marks: none is sent once it returned. It reports whether the message
// may be given back: the lease holds, the server knows of it still, and there is a
// connection, so that the negative acknowledgement does not travel much later.
func (k *Keeper) Release(l *Lease) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.leases, l.Key)
	return !l.lost && !l.over(time.Now()) && !k.forgotten(l) && k.conn.IsConnected()
}

// forgotten reports whether the server that delivered the message may have forgotten it.
func (k *Keeper) forgotten(l *Lease) bool { return l.server != "" && l.server != k.restarts.Look() }

// Run sends marks until ctx ends. It fails when it cannot subscribe to the confirmations.
func (k *Keeper) Run(ctx context.Context) error {
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
		k.restarts.Look()
		if pulse.beat(now) {
			k.seen.Store(&now)
		}
		k.beat(now)
	}
}

// beat marks every lease that has not been marked for a third of the ack wait, gives up
// those that have ended, and cancels attempts that never end.
func (k *Keeper) beat(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.leases {
		l.end(now)
		if !l.bound.IsZero() && !now.Before(l.bound) {
			l.Cancel(ErrAttemptTimeout) // of no effect when the lease was lost first
		}
		if l.lost || now.Sub(l.marked[0]) < k.ackWait/3 {
			continue
		}
		l.marked = [...]time.Time{now, l.marked[0], l.marked[1]} // older ones renew nothing any more
		reply := k.inbox + "." + strconv.FormatUint(l.Sequence, 10) + "." + strconv.FormatInt(l.Stored, 10) + "." + strconv.FormatInt(now.UnixNano(), 10)
		ack.InProgress(k.conn, l.Reply, reply)
	}
}

// confirmed renews the lease named in the confirmation's subject from the moment its
// mark was sent. A status is none: while a consumer has no leader, nobody is there to
// answer a mark, and the server says so.
func (k *Keeper) confirmed(msg *nats.Msg) {
	if msg.Header.Get("Status") != "" {
		return
	}
	rest, sent, ok := cutLast(msg.Subject)
	if !ok {
		return
	}
	rest, stored, _ := cutLast(rest)
	_, seq, _ := cutLast(rest)
	var key Key
	var nanos int64
	var errs [3]error
	key.Sequence, errs[0] = strconv.ParseUint(seq, 10, 64)
	key.Stored, errs[1] = strconv.ParseInt(stored, 10, 64)
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
