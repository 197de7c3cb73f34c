// Package deadline hands out contexts with a deadline for next to nothing.
package deadline

import (
	"context"
	"sync"
	"time"
)

// Shared hands out contexts with a deadline, the same one to all callers within a quarter of
// its time: a settlement almost never takes as long as it may, and a timer and a context for each
// would be 2 % of the CPU time of a busy worker. A context lasts for at least the time that
// Shared was made with, and for a quarter longer at most.
type Shared struct {
	parent context.Context
	least  time.Duration
	cause  error

	mu    sync.Mutex
	shown context.Context
	until time.Time // as long as shown is handed out
}

// New returns a Shared whose contexts last for at least least, and end with cause, or with parent.
func New(parent context.Context, least time.Duration, cause error) *Shared {
	return &Shared{parent: parent, least: least, cause: cause}
}

// Context returns a context that ends by itself or with its parent.
func (d *Shared) Context() context.Context {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !now.Before(d.until) {
		d.until = now.Add(d.least / 4)
		ctx, cancel := context.WithDeadlineCause(d.parent, d.until.Add(d.least), d.cause)
		context.AfterFunc(ctx, cancel)
		d.shown = ctx
	}
	return d.shown
}
