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

// Whether a run is at work, or was killed, is not decided by a clock that is wrong.
func TestDiscard_AgeOfAClaimByTheServersClock(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ahead, busy time.Duration
		want        string
	}{
		"an hour ahead, of a run at work":     {time.Hour, claimBusy, "m-1 busy"},
		"an hour behind, of one long stopped": {-time.Hour, 0, "m-1 discarded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGraveyard(t)
			g.bury(letter("m-1", 1))
			g.crashing("claimed", 1)
			g.replayUntilCrash(ReplayOptions{})
			g.clockAhead(tt.ahead, func(r topologyRig) {
				other := graveyard{r, r.deadLetters()}
				other.busy = tt.busy
				if got := other.outcomes(other.Discard(r.ctx(), other.selected(DeadQuery{}), DiscardOptions{})); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			})
		})
	}
}
