package bench

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// A small fleet is measured in every state, beside the built-in server.
func TestBench_Fleet(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := runBench(t.Context(), t, "bench", "--fleet", "--json", "--sources", "2,4", "--idle", "6",
		"--size", "1KB", "--messages", "60", "--rounds", "1", "--quiet", "20ms", "--backlog", "60")
	if code != cli.ExitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var figures []fleetFigure
	if err := json.Unmarshal([]byte(stdout), &figures); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	found := make(map[string]int)
	for _, f := range figures {
		found[f.What]++
		if f.Value < 0 && f.What != fleetLoss || f.Aim != fleetAims[f.What] {
			t.Errorf("%+v", f)
		}
		if f.What == fleetConsumers && (f.Value < 8 || f.Value > 9) {
			t.Errorf("%s: %v consumers of 4 sources and one more", f.Where, f.Value)
		}
	}
	for what, times := range map[string]int{fleetReady: 4, fleetChange: 3, fleetServerCPU: 4, fleetWorkerCPU: 4, fleetMessages: 4, fleetServerRSS: 4, fleetStop: 2, fleetRestart: 2, fleetLoss: 1} {
		if found[what] != times {
			t.Errorf("%s was measured %d times, want %d", what, found[what], times)
		}
	}
	if shown := fleetTable(append(figures, fleetFigure{"here", fleetStop, 11, "s", 10})); !strings.Contains(shown, "10 missed") || !strings.Contains(shown, fleetReady) {
		t.Error(shown)
	}
}
