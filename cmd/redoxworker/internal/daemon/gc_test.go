package daemon

import "testing"

func TestGCPercent_SparesMemoryWhenMuchIsInFlight(t *testing.T) {
	t.Parallel()
	if few, many := gcPercent(64), gcPercent(1000); few <= 100 || many != 100 {
		t.Errorf("%d with few in flight, %d with many", few, many)
	}
}
