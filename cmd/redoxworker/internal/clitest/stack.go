package clitest

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// Dev is a `redoxworker dev --json`: where its parts are, as its first line says.
type Dev struct {
	*Process
	NATS, Redox, Admin, Console, Config, Dir, Organization string
}

// StartDev runs dev by execute on ports of its own and waits until it is ready.
func StartDev(t testing.TB, execute func(context.Context, cli.App) int, args ...string) *Dev {
	t.Helper()
	args = append([]string{"dev", "--json", "--nats-listen", "127.0.0.1:0", "--sim-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--console-listen", "127.0.0.1:0"}, args...)
	d := &Dev{Process: Start(t, execute, `{"event":"ready"}`, args...)}
	readFirst(t, d.Out, d)
	return d
}

// Sim is a `redoxworker sim --json`: where it is and which keys it takes, as its first line says.
type Sim struct {
	*Process
	URL  string
	Keys []string
}

// StartSim runs sim by execute on a port of its own and waits until it is ready.
func StartSim(t testing.TB, execute func(context.Context, cli.App) int, args ...string) *Sim {
	t.Helper()
	s := &Sim{Process: Start(t, execute, "\n", append([]string{"sim", "--json", "--listen", "127.0.0.1:0"}, args...)...)}
	readFirst(t, s.Out, s)
	return s
}

// readFirst reads the first line of an output, a JSON object.
func readFirst(t testing.TB, out *Output, into any) {
	t.Helper()
	first, _, _ := strings.Cut(out.String(), "\n")
	if err := json.Unmarshal([]byte(first), into); err != nil {
		t.Fatalf("%v: %s", err, first)
	}
}
