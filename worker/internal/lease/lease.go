package lease

import (
	"context"
	"errors"
	"time"
)

// Causes with which a Keeper cancels attempts; package worker shows them to Deliverers.
var (
	// ErrLost is returned when a lease could not be renewed in time.
	ErrLost = errors.New("worker: the lease of the message could not be renewed within the ack wait; another worker may have it")
	// ErrAttemptTimeout is returned when an attempt outlived its bound.
	ErrAttemptTimeout = errors.New("worker: the attempt outlived the attempt timeout")
)

// Lease is the worker's hold on one delivered message: the server gives the message to
// another worker when it hears nothing for the ack wait.
type Lease struct {
	Key
	// Reply is the reply subject of the delivery, where it is acknowledged.
	Reply string
	// Consumer is the name of the one that delivered it.
	Consumer string
	// Cancel ends the attempt under the lease: with ErrLost when the lease is lost, with
	// ErrAttemptTimeout when the attempt has outlived its bound.
	Cancel context.CancelCauseFunc

	// guarded by Keeper.mu
	expires time.Time    // as far as this worker knows for certain
	marked  [3]time.Time // when in-progress marks were sent, the last one first
	lost    bool
	bound   time.Time // when the attempt under it is cancelled; zero when there is none
	begun   time.Time // when that attempt began; zero as long as there was none
	server  string    // that delivered the message; "" when others would know of it too
}

// Key tells messages apart: a queue that was made anew gives sequences away again.
type Key struct {
	Sequence uint64 // in the stream
	Stored   int64  // when, in Unix nanoseconds
}

// end gives a lease up when its time has come. The keeper's mutex is held.
func (l *Lease) end(now time.Time) {
	if !l.lost && l.over(now) {
		l.lost = true
		l.Cancel(ErrLost)
	}
}

// over reports whether the lease has ended by either clock: one may be set back, the other
// stands still while the machine sleeps.
func (l *Lease) over(now time.Time) bool {
	return !now.Before(l.expires) || !now.Round(0).Before(l.expires.Round(0))
}

// Attempts are those under way of the messages of one consumer.
type Attempts struct {
	// Messages is how many there are.
	Messages int
	// First is when the attempt began that began first.
	First time.Time
}

// Context is that of an attempt. Its Err tells of the end of the lease at once, not only at the
// next beat of the keeper: a process that was suspended just before it sends a request finds
// out before it does.
type Context struct {
	context.Context
	Keeper *Keeper
	Lease  Lease
}

// Err implements [context.Context].
func (c *Context) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	c.Keeper.mu.Lock()
	c.Lease.end(time.Now())
	c.Keeper.mu.Unlock()
	return c.Context.Err()
}
