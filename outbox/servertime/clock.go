// Package servertime tells the time by the clock of the NATS server, whatever that of this
// host says: all workers and gateways compare deadlines with the one clock that they share.
package servertime

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// every is the time between two measurements, and look that between two looks for a
	// local clock that was set, or stood still with its host.
	every = 30 * time.Second
	look  = 2 * time.Second
	// maxTrip bounds the round trip of a measurement that says anything.
	maxTrip = 5 * time.Second
	// stepped is how far wall clock and running time must differ for a measurement at once.
	stepped = time.Second
)

// Clock tells the server's time. It is right to about half a round trip once
// [Clock.Measure] has succeeded, and the local clock before. Safe for concurrent use.
type Clock struct {
	local  func() time.Time
	offset atomic.Int64 // the server's time less the local, in nanoseconds
}

// New returns a Clock on top of a local one; nil means [time.Now].
func New(local func() time.Time) *Clock {
	if local == nil {
		local = time.Now
	}
	return &Clock{local: local}
}

// Now returns the server's time, without a monotonic reading.
func (c *Clock) Now() time.Time { return c.local().Round(0).Add(c.Offset()) }

// Offset returns the server's time less the local one.
func (c *Clock) Offset() time.Duration { return time.Duration(c.offset.Load()) }

// AtLeast takes in that the server said it was the given time, now or some time ago.
func (c *Clock) AtLeast(server time.Time) {
	local := c.local().Round(0)
	for {
		offset := c.offset.Load()
		ahead := int64(server.Sub(local))
		if ahead <= offset || c.offset.CompareAndSwap(offset, ahead) {
			return
		}
	}
}

// Measure asks the server for the state of a stream, whose answer says when it was given.
// On an error, and after a round trip of more than 5 s, the Clock stays as it was.
func (c *Clock) Measure(ctx context.Context, js jetstream.JetStream, stream string) error {
	asked := c.local()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	trip := c.local().Sub(asked)
	if at := s.CachedInfo().TimeStamp; !at.IsZero() && trip <= maxTrip {
		c.offset.Store(int64(at.Sub(asked.Round(0).Add(trip / 2))))
	}
	return nil
}

// Watch measures every 30 s, and soon after the local clock was set or the host was
// suspended, until ctx ends. Failures are passed over: the next measurement may succeed.
func (c *Clock) Watch(ctx context.Context, js jetstream.JetStream, stream string) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	last, seen := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		drifted := (now.Round(0).Sub(seen.Round(0)) - now.Sub(seen)).Abs() > stepped
		seen = now
		if drifted || now.Sub(last) >= every {
			last = now
			_ = c.Measure(ctx, js, stream)
		}
	}
}
