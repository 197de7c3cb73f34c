package worker

import "sync"

// crew runs deliveries on goroutines that it keeps. A new goroutine for each message would
// grow its stack twice on the way to the far side: 6 % of a busy worker's processor time.
// Of those that wait, the one that worked last works next: its stack is still as large as it
// must be, and in the processor's cache, while those that are not needed stay small.
type crew struct {
	deliver func(*delivery)
	size    int // how many goroutines are kept
	all     sync.WaitGroup

	mu     sync.Mutex
	alive  int
	idle   []chan *delivery // to goroutines that wait; the last has worked last
	closed bool
}

func newCrew(size int, deliver func(*delivery)) *crew {
	return &crew{deliver: deliver, size: size}
}

// start runs a delivery on a goroutine that waits for one, else on a new one. It does not
// block; how many run at once is for the slots to bound.
func (c *crew) start(d *delivery) {
	if next := c.hire(); next != nil {
		next <- d
		return
	}
	c.all.Go(func() { c.work(d) })
}

// hire picks a goroutine that waits; nil when there is none, and one more is to be started.
func (c *crew) hire() chan<- *delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.idle) - 1
	if last < 0 {
		c.alive++
		return nil
	}
	next := c.idle[last]
	c.idle = c.idle[:last]
	return next
}

func (c *crew) work(d *delivery) {
	next := make(chan *delivery, 1) // room for one, so that start does not block
	counted := true
	defer func() { // also after a runtime.Goexit in deliver
		if counted {
			c.leave()
		}
	}()
	for ok := true; ok; d, ok = <-next {
		c.deliver(d)
		if counted = c.rest(next); !counted {
			return
		}
	}
}

func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alive--
}

// rest has the goroutine wait for its next delivery, unless there are enough that do: then
// it is not counted any more.
func (c *crew) rest(next chan *delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.alive > c.size {
		c.alive--
		return false
	}
	c.idle = append(c.idle, next)
	return true
}

// wait returns when all deliveries have ended. No start may follow.
func (c *crew) wait() {
	c.mu.Lock()
	c.closed = true
	for _, next := range c.idle {
		close(next)
	}
	c.idle = nil
	c.mu.Unlock()
	c.all.Wait()
}
