package quota

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Grants that come back unused do not fragment what a worker holds: each grant looks at all of it.
func TestHeld_StaysShortWhileSlotsComeBackUnused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, err := New(Config{Requests: 7500, Reserve: 0.2})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go g.RunAlone(ctx)
		most := 0
		for range 400 {
			var grants []func(bool)
			for range 8 { // as many as a lane takes that pulls
				done, err := g.Acquire(ctx, "a", contract.LaneSend)
				if err != nil {
					t.Fatal(err)
				}
				grants = append(grants, done)
			}
			grants[0](true)
			for _, done := range grants[1:] {
				done(false)
			}
			g.mu.Lock()
			most = max(most, len(g.held))
			g.mu.Unlock()
		}
		if most > 20 {
			t.Errorf("up to %d runs are held", most)
		}
	})
}
