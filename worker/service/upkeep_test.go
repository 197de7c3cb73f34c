package service

import (
	"testing"

	"github.com/redoxworker/redoxworker/worker"
)

// A worker that still binds the consumers of many sources is not stuck; one that binds no more
// of them is, at the second look.
func TestUpkeep_BindingManyConsumersIsNoTrouble(t *testing.T) {
	t.Parallel()
	var u upkeep
	for i, look := range []struct {
		bound int
		stuck bool
	}{{0, false}, {3000, false}, {6000, false}, {9000, false}, {10_000, false}, {9999, false}, {9999, true}, {9999, true}, {10_000, false}} {
		if stuck := u.stuck(worker.Status{Started: true, Connected: true, Queue: true, Lanes: 10_000, Bound: look.bound}); stuck != look.stuck {
			t.Errorf("look %d, %d bound: %v", i, look.bound, stuck)
		}
	}
}
