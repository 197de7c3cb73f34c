package overview

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// Where the server has much to count, or others have it count as well, so that answers come late, it
// is asked less often; a slow line alone is no reason.
func TestPause_LongerWhereCountingTakesTime(t *testing.T) {
	for _, tt := range []struct {
		counted    int
		took, want time.Duration
	}{
		{0, 0, time.Second},
		{much - 1, 10 * time.Second, time.Second},
		{15_000, 20 * time.Millisecond, time.Second},
		{15_000, 300 * time.Millisecond, 6 * time.Second},
		{15_000, time.Minute, 30 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			g, began := new(Gatherer), time.Now()
			bubble.Sleep(tt.took)
			g.costs(tt.counted, began)
			if got := g.Pause(); got != tt.want {
				t.Errorf("%d counted in %v: the next look in %v, want %v", tt.counted, tt.took, got, tt.want)
			}
		})
	}
}
