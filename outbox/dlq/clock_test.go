package dlq

import (
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

// Whether a run is at work, or was killed, is not decided by a clock that is wrong.
func TestDiscard_AgeOfALockByTheServersClock(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ahead, busy time.Duration
		want        string
	}{
		"an hour ahead, of a run at work":     {time.Hour, lockBusy, "m-1 busy"},
		"an hour behind, of one long stopped": {-time.Hour, 0, "m-1 discarded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGraveyard(t)
			g.bury(letter("m-1", 1))
			g.crashing("locked", 1)
			g.replayUntilCrash(ReplayOptions{})
			g.ClockAhead(tt.ahead, func(r outboxtest.Rig) {
				other := graveyard{r, lettersOf(r)}
				other.busy = tt.busy
				if got := other.outcomes(other.Discard(r.Ctx(), other.selected(Query{}), DiscardOptions{})); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			})
		})
	}
}
