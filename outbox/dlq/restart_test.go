package dlq

import (
	"testing"

	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

// A replay whose confirmation was lost looks for what it has published, which a restart does
// not hide from it.
func TestReplay_ARestartOfTheOnlyServerDoublesNothing(t *testing.T) {
	t.Parallel()
	for name, settled := range map[string]bool{"settled": true, "still queued": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGraveyard(t)
			g.bury(letter("m", 1))
			g.work.JS = &outboxtest.ConfirmationLost{JetStream: g.work.JS, Next: func() {
				if settled {
					g.settle(g.Queued()[0])
				}
				g.Must(g.Server.Restart())
			}}
			if got := g.replayAll(ReplayOptions{}); got != "m already replayed" {
				t.Error(got)
			}
			if n := len(g.Queued()); n != map[bool]int{true: 0, false: 1}[settled] {
				t.Errorf("%d messages are stored", n)
			}
			g.left(0)
		})
	}
}
