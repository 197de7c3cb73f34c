package outbox

import (
	"testing"
	"testing/synctest"
	"time"
)

// clockAhead runs f on a host whose clock is that much ahead of the server's, with a connection
// of its own.
func (r topologyRig) clockAhead(ahead time.Duration, f func(r topologyRig)) {
	r.t.Helper()
	at := time.Now().Add(ahead)
	synctest.Test(r.t, func(t *testing.T) {
		time.Sleep(time.Until(at)) // a bubble begins long ago
		r.t = t
		r.js = r.connect()
		f(r)
	})
}

// A body that is being published is young, whatever the clock of the host that collects says.
func TestCollect_ByTheServersClock(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.put(b, "a/young", pattern(300_000))
	r.clockAhead(7*24*time.Hour, func(r topologyRig) {
		c, err := NewBodies(r.js, "").Collect(r.ctx(), 24*time.Hour)
		if err != nil || c.Objects != 1 || c.Removed != 0 {
			t.Errorf("%+v, %v", c, err)
		}
	})
	r.stores("a/young")
}
