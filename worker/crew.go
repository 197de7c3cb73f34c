package worker

import (
	"sync"
	"sync/atomic"
)

// crew runs deliveries on goroutines that it keeps. A new goroutine for each message would
// grow its stack twice on the way to the far side: 6 % of a busy worker's processor time.
type crew struct {
	deliver func(*delivery)
	size    int64          // how many goroutines are kept
	next    chan *delivery // to a goroutine that waits for one
	alive   atomic.Int64
	all     sync.WaitGroup
}

func newCrew(size int, deliver func(*delivery)) *crew {
	return &crew{deliver: deliver, size: int64(size), next: make(chan *delivery)}
}

// start runs a delivery on a goroutine that waits for one, else on a new one. It does not
// block; how many run at once is for the slots to bound.
func (c *crew) start(d *delivery) {
	select {
	case c.next <- d:
	default:
		c.all.Go(func() { c.work(d) })
	}
}

func (c *crew) work(d *delivery) {
	c.alive.Add(1)
	defer c.alive.Add(-1)
	for ok := true; ok; d, ok = <-c.next {
		c.deliver(d)
		if c.alive.Load() > c.size {
			return
		}
	}
}

// wait returns when all deliveries have ended. No start may follow.
func (c *crew) wait() {
	close(c.next)
	c.all.Wait()
}
