package httpwire

import (
	"context"
	"sync"
	"time"
)

// TimeLimits ends requests that take longer than a timeout. All have equally long, so
// they end in the order in which they began, and one timer serves them: one for each would
// be for what almost never happens, and 3 % of a busy worker's processor time. It holds no
// goroutine.
type TimeLimits struct {
	timeout time.Duration // negative: none
	cause   error         // what a context ends with whose request has taken too long

	mu    sync.Mutex
	ring  TimeLimit // its next is the request that began first
	timer *time.Timer
	armed bool
}

// TimeLimit is that of one request. It is on the ring from Begin to Finish, or until it is over.
type TimeLimit struct {
	end        time.Time
	own        canceler                // the caller's context, which may be ended
	cancel     context.CancelCauseFunc // of a context beneath the caller's
	next, prev *TimeLimit
}

// canceler is a context that belongs to the attempt alone, like the worker's.
type canceler interface{ Cancel(cause error) }

// NewTimeLimits returns time limits of timeout each; a context ends with cause.
func NewTimeLimits(timeout time.Duration, cause error) *TimeLimits {
	l := &TimeLimits{timeout: timeout, cause: cause}
	l.ring.next, l.ring.prev = &l.ring, &l.ring
	return l
}

// Begin answers the context of a request that begins now. It ends with the cause when the
// request has taken too long; Finish must be called when it is over.
func (l *TimeLimits) Begin(ctx context.Context, now time.Time, r *TimeLimit) context.Context {
	var own bool
	if r.own, own = ctx.(canceler); !own {
		ctx, r.cancel = context.WithCancelCause(ctx)
	}
	if l.timeout < 0 {
		return ctx
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.end = now.Add(l.timeout)
	r.prev, r.next = l.ring.prev, &l.ring
	r.prev.next, r.next.prev = r, r
	if !l.armed {
		l.arm(l.timeout)
	}
	return ctx
}

// Finish lets go of a request. Its context is not ended any more once it returned, unless
// it is one of its own.
func (l *TimeLimits) Finish(r *TimeLimit) {
	if l.timeout >= 0 {
		l.mu.Lock()
		r.leave()
		l.mu.Unlock()
	}
	if r.cancel != nil {
		r.cancel(nil)
	}
}

// leave takes the request off the ring, if it is on it.
func (r *TimeLimit) leave() {
	if r.next == nil {
		return
	}
	r.prev.next, r.next.prev = r.next, r.prev
	r.next, r.prev = nil, nil
}

// arm starts the timer. The mutex is held.
func (l *TimeLimits) arm(d time.Duration) {
	l.armed = true
	if l.timer == nil {
		l.timer = time.AfterFunc(d, l.lapse)
		return
	}
	l.timer.Reset(d)
}

// lapse ends what has taken too long and waits for the next.
func (l *TimeLimits) lapse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for r := l.ring.next; r != &l.ring; r = l.ring.next {
		if left := r.end.Sub(now); left > 0 {
			l.arm(left)
			return
		}
		r.leave()
		if r.own != nil {
			r.own.Cancel(l.cause)
		} else {
			r.cancel(l.cause)
		}
	}
	l.armed = false
}
