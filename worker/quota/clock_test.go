package quota

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// The true time of the server lies within the bounds, whatever the way there and back
// took, and the bounds narrow down.
func TestClock_BoundsHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		const ahead = 90 * time.Second
		for i := range 50 {
			there, back := time.Duration(i%7)*time.Millisecond, time.Duration(i%5)*time.Millisecond
			asked := time.Now()
			bubble.Sleep(there)
			server := time.Now().Add(ahead)
			bubble.Sleep(back)
			c.measure(server, asked, time.Now(), time.Minute)
			exact := time.Now().Add(ahead).UnixNano()
			if now := c.now(); now.lo > exact || now.hi < exact {
				t.Fatalf("round %d: the bounds %d and %d do not hold the server's time", i, now.lo-exact, now.hi-exact)
			}
			bubble.Sleep(100 * time.Millisecond)
		}
		if now := c.now(); now.hi-now.lo > int64(time.Millisecond) {
			t.Errorf("the bounds are %v apart", time.Duration(now.hi-now.lo))
		}
	})
}

// When the server's clock is set, moments of both times stay safe for one window: the
// earlier time decides what is free already, the later what is still in use.
func TestClock_StepIsRememberedForOneWindow(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{3 * time.Second, -3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c := newClock()
			start := time.Now()
			measure := func(ahead time.Duration) {
				c.measure(time.Now().Add(ahead), time.Now(), time.Now(), time.Minute)
			}
			measure(0)
			bubble.Sleep(10 * time.Second)
			measure(step)
			for time.Since(start) < time.Minute {
				now, old := c.now(), time.Now().UnixNano()
				if lo := min(old, old+int64(step)); now.lo > lo {
					t.Fatalf("after %v: the lower bound is %v too late", time.Since(start), time.Duration(now.lo-lo))
				}
				if hi := max(old, old+int64(step)); now.hi < hi {
					t.Fatalf("after %v: the upper bound is %v too early", time.Since(start), time.Duration(hi-now.hi))
				}
				bubble.Sleep(10 * time.Second)
				measure(step)
			}
			bubble.Sleep(time.Minute)
			measure(step)
			if now := c.now(); now.hi-now.lo > int64(10*time.Millisecond) {
				t.Errorf("the step is remembered for ever: the bounds are %v apart", time.Duration(now.hi-now.lo))
			}
		})
	}
}
