package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestLoad_TenTimesTheSources: what a source in the main file costs does not depend on how many
// there are beside it.
func TestLoad_TenTimesTheSources(t *testing.T) {
	allocations := func(n int) float64 {
		text := strings.Builder{}
		text.WriteString(minimal)
		for i := range n {
			fmt.Fprintf(&text, "  more-%d: {id: 7ce6f387-c33c-417d-8682-%012d, key: main}\n", i, i)
		}
		o := Options{File: writeConfig(t, text.String())}
		return testing.AllocsPerRun(1, func() {
			if c := mustLoad(t, o); len(c.Sources) != n+1 {
				t.Errorf("%d sources of %d", len(c.Sources), n+1)
			}
		})
	}
	few, many := allocations(50), allocations(500)
	if many > 15*few {
		t.Errorf("50 sources cost %.0f allocations, 500 cost %.0f", few, many)
	}
}
