package worker

import (
	"context"
	"sync/atomic"

	"github.com/redoxworker/redoxworker/worker/internal/lease"
	"github.com/redoxworker/redoxworker/worker/internal/limit"
)

// roomKey is the key of the room of an attempt's answer in its context.
type roomKey struct{}

// AnswerRoom counts more bytes of an answer against Config.MaxClaimMemory, until the message of the
// attempt is settled. A [Deliverer] calls it with the context of the attempt before it keeps more
// of an answer in memory. With wait it blocks until there is room, or until ctx ends and it returns
// [context.Cause]; without wait it returns an error if there is no room. In any other context it
// always returns nil. It is safe for concurrent use.
func AnswerRoom(ctx context.Context, bytes int64, wait bool) error {
	a, ok := ctx.Value(roomKey{}).(*limit.Room)
	if !ok || a.Memory == nil {
		return nil
	}
	return a.Grow(ctx, bytes, wait)
}

// leasedContext is the context of an attempt: it has a lease, and room for the answer.
type leasedContext struct {
	lease.Context
	answer limit.Room
}

// Value returns the room of the answer for its key, so that the attempt needs no context of its
// own for it.
func (c *leasedContext) Value(key any) any {
	if key == (roomKey{}) {
		return &c.answer
	}
	return c.Context.Value(key)
}

// Cancel ends the attempt for the Deliverer; see [Deliverer].
func (c *leasedContext) Cancel(cause error) { c.Lease.Cancel(endedByDeliverer{cause}) }

// endedByDeliverer is the cause of an attempt that its Deliverer ended.
type endedByDeliverer struct{ error }

// Unwrap returns the cause that the Deliverer gave.
func (e endedByDeliverer) Unwrap() error { return e.error }

// grantKey finds the grant of an attempt in its context.
type grantKey struct{}

// grant is the request that an attempt was granted.
type grant struct {
	*leasedContext // of the attempt
	done           func(sent bool)
	used           atomic.Bool
}

// Value returns the grant for its key, so that the attempt needs no context of its own for it.
func (g *grant) Value(key any) any {
	if key == (grantKey{}) {
		return g
	}
	return g.leasedContext.Value(key)
}

// end gives the grant back. sent says that the request was made although nobody used the grant.
func (g *grant) end(sent bool) {
	if g.done != nil {
		g.done(sent || g.used.Load())
		g.done = nil
	}
}

// Granted reports whether the request that is about to be made is the one that the Limiter granted
// to the attempt of this context. It reports true once. A [Deliverer] that makes more than one
// request in an attempt, say for a new token or an upload, has the Limiter grant each further one.
// It is safe for concurrent use.
func Granted(ctx context.Context) bool {
	g, ok := ctx.Value(grantKey{}).(*grant)
	return ok && !g.used.Swap(true)
}

// causeOf is why an attempt's context ended; nil when it did not.
func causeOf(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}
