package limit

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestPool_RunsEveryJobAndKeepsSoManyGoroutines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size, burst = 4, 10
		gate := make(chan struct{})
		var ran, running, peak atomic.Int64
		c := NewPool(size, func(int) {
			peak.Store(max(peak.Load(), running.Add(1)))
			<-gate
			running.Add(-1)
			ran.Add(1)
		})
		for range burst { // Start does not wait, whatever the size
			c.Start(1)
		}
		synctest.Wait()
		if n := running.Load(); n != burst {
			t.Fatalf("%d run at once, want %d", n, burst)
		}
		close(gate)
		synctest.Wait()
		if n := c.count(); n != size {
			t.Errorf("%d goroutines are kept, want %d", n, size)
		}
		for range 100 {
			c.Start(1)
			synctest.Wait()
		}
		if n := c.count(); n != size {
			t.Errorf("%d goroutines after work one by one, want the same %d", n, size)
		}
		c.Wait()
		if ran.Load() != burst+100 || c.count() != 0 {
			t.Errorf("%d ran, %d goroutines are left", ran.Load(), c.count())
		}
	})
}

func TestPool_WaitLetsJobsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var ran atomic.Int64
		c := NewPool(1, func(int) { <-gate; ran.Add(1) })
		c.Start(1)
		c.Start(1)
		ended := make(chan struct{})
		go func() { defer close(ended); c.Wait() }()
		synctest.Wait()
		select {
		case <-ended:
			t.Fatal("wait did not wait")
		default:
		}
		close(gate)
		<-ended
		if ran.Load() != 2 {
			t.Errorf("%d jobs ended, want 2", ran.Load())
		}
	})
}

// A deliverer may end its goroutine; the next ones are kept nevertheless.
func TestPool_OutlivesAGoexit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var exits atomic.Bool
		c := NewPool(2, func(int) {
			if exits.Load() {
				runtime.Goexit()
			}
		})
		exits.Store(true)
		for range 5 {
			c.Start(1)
		}
		synctest.Wait()
		if n := c.count(); n != 0 {
			t.Errorf("%d goroutines are counted after all have ended", n)
		}
		exits.Store(false)
		for range 5 {
			c.Start(1)
			synctest.Wait()
		}
		if n := c.count(); n != 1 {
			t.Errorf("%d goroutines after work one by one, want one that is kept", n)
		}
		c.Wait()
		if n := c.count(); n != 0 {
			t.Errorf("%d goroutines are left", n)
		}
	})
}

func (p *Pool[T]) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive
}
