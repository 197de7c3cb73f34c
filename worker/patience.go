package worker

import (
	"context"
	"sync"
	"time"
)

// patience hands out contexts that end after a while, the same one to all who ask within a
// quarter of that: a settlement almost never takes as long as it may, and a timer and a
// context for each would be 2 % of a busy worker's processor time. What it hands out lasts
// for at least the time it was made with, and for a quarter longer at most.
type patience struct {
	parent context.Context
	least  time.Duration
	cause  error

	mu    sync.Mutex
	shown context.Context
	until time.Time // as long as shown is handed out
}

func newPatience(parent context.Context, least time.Duration, cause error) *patience {
	return &patience{parent: parent, least: least, cause: cause}
}

// context answers one that nobody cancels: it ends by itself, or with its parent.
func (p *patience) context() context.Context {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !now.Before(p.until) {
		p.until = now.Add(p.least / 4)
		ctx, cancel := context.WithDeadlineCause(p.parent, p.until.Add(p.least), p.cause)
		context.AfterFunc(ctx, cancel)
		p.shown = ctx
	}
	return p.shown
}
