package worker

import (
	"github.com/redoxworker/redoxworker/worker/internal/lease"
	"github.com/redoxworker/redoxworker/worker/internal/limit"
)

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
