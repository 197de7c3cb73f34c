package outbox

import (
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

// A body that is being published is young, whatever the clock of the host that collects says.
func TestCollect_ByTheServersClock(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.put(b, "a/young", outboxtest.Pattern(300_000))
	r.ClockAhead(7*24*time.Hour, func(r outboxtest.Rig) {
		c, err := NewBodies(r.JS, "").Collect(r.Ctx(), 24*time.Hour)
		if err != nil || c.Objects != 1 || c.Removed != 0 {
			t.Errorf("%+v, %v", c, err)
		}
	})
	r.stores("a/young")
}
