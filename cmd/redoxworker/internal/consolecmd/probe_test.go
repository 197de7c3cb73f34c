package consolecmd_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/consolecmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/daemon"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

type grammar struct {
	cli.Globals
	Console consolecmd.Command  `cmd:""`
	Ready   daemon.ReadyCommand `cmd:""`
}

// A console that waits for NATS lives and is not ready, at its start and later, and says so to who has
// not signed in; it ends by a signal alone.
func TestConsole_WaitsForNATS(t *testing.T) {
	t.Parallel()
	ports, err := natsdev.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprint("127.0.0.1:", ports[1])
	a, _, errs := clitest.App("console", "--listen", address, "--server", fmt.Sprint("nats://127.0.0.1:", ports[0]))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int, 1)
	go func() { ended <- cli.Execute(ctx, *a, new(grammar)) }()
	probe := func(flags ...string) (code int, text string) {
		a, out, errs := clitest.App(append([]string{"ready", "--address", address}, flags...)...)
		code = cli.Execute(t.Context(), *a, new(grammar))
		return code, out.String() + errs.String()
	}
	becomes := func(what string) {
		t.Helper()
		clitest.Eventually(t, what, func() bool { _, text := probe(); return text == what+"\n" }, errs.String)
		if code, text := probe("--live"); code != 0 {
			t.Errorf("while it is %s it does not live: %s", what, text)
		}
	}
	becomes("not ready; waits for NATS")
	options := natsdev.Options{Dir: t.TempDir(), Port: ports[0]}
	for range 2 {
		srv, err := natsdev.Start(options)
		if err != nil {
			t.Fatal(err)
		}
		becomes("ready")
		if err := srv.Shutdown(); err != nil {
			t.Fatal(err)
		}
		becomes("not ready; waits for NATS")
	}
	for path, want := range map[string]int{"/": http.StatusUnauthorized, "/readyz/": http.StatusUnauthorized} {
		answer, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want && !strings.Contains(answer.Request.URL.Path, "sign-in") {
			t.Errorf("%s: %d at %s to who has not signed in", path, answer.StatusCode, answer.Request.URL.Path)
		}
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("it ends with %d: %s", code, errs)
	}
}
