package servertime

import (
	"sync"
	"testing"
	"time"
)

// What many learn at once counts once.
func TestClock_AtLeast(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for range 20_000 {
		c := New(func() time.Time { return now })
		begin := make(chan struct{})
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				<-begin
				c.AtLeast(now.Add(time.Minute))
				c.AtLeast(now.Add(time.Second))
			})
		}
		close(begin)
		all.Wait()
		if got := c.Offset(); got != time.Minute {
			t.Fatalf("the server is ahead by %v, want 1m", got)
		}
	}
}
