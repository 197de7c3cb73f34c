package worker

import (
	"context"

	"github.com/redoxworker/redoxworker/worker/internal/lease"
	"github.com/redoxworker/redoxworker/worker/internal/limit"
)

// roomKey finds the room of an attempt's answer in its context.
type roomKey struct{}

// AnswerRoom is for a [Deliverer] that is about to keep more of an answer in memory, by so many
// bytes, in the attempt of this context. It counts them against Config.MaxClaimMemory until the
// message is settled. With wait it blocks until there is room, or until ctx ends, and returns
// [context.Cause] then; without, it answers at once, with an error when there is none. In a
// context that is not an attempt's there always is. It is safe for concurrent use.
func AnswerRoom(ctx context.Context, bytes int64, wait bool) error {
	a, ok := ctx.Value(roomKey{}).(*limit.Room)
	if !ok || a.Memory == nil {
		return nil
	}
	return a.Grow(ctx, bytes, wait)
}

// leasedContext is that of an attempt: under a lease, with the room of its answer.
type leasedContext struct {
	lease.Context
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
func (c *leasedContext) Cancel(cause error) { c.Lease.Cancel(endedByDeliverer{cause}) }

// endedByDeliverer is the cause of an attempt that its Deliverer ended.
type endedByDeliverer struct{ error }

// Unwrap answers what the Deliverer gave.
func (e endedByDeliverer) Unwrap() error { return e.error }
