package main

import (
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// serviceManager is the socket at which systemd hears what becomes of a service.
type serviceManager struct {
	mu    sync.Mutex
	lines []string
}

// serveManager has programs that are started after it believe that systemd started them.
func serveManager(t *testing.T) *serviceManager {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "300000")
	m := &serviceManager{}
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.lines = append(m.lines, strings.Split(strings.TrimSpace(string(b[:n])), "\n")...)
			m.mu.Unlock()
		}
	}()
	return m
}

// heard counts the lines that begin with prefix.
func (m *serviceManager) heard(prefix string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, line := range m.lines {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// systemd waits with a worker that waits for NATS, hears when it delivers, that it lives, of each
// reload and of its end; `ready` says the same.
func TestRun_TellsSystemd(t *testing.T) {
	hung := make(chan os.Signal, 1)
	signal.Notify(hung, syscall.SIGHUP) // under nohup the worker would ignore it
	defer signal.Stop(hung)
	m := serveManager(t)
	s := newStage(t, &redoxsim.Server{}, "")
	port := s.port()
	if err := s.nats.Shutdown(); err != nil {
		t.Fatal(err)
	}
	worker := s.launchBinary()
	log := func() string { return worker.err.String() }
	hears := func(line string, times int) {
		t.Helper()
		s.eventually(line, func() bool { return m.heard(line) >= times }, log)
	}
	hears("EXTEND_TIMEOUT_USEC=60000000", 2)
	hears("STATUS=not ready; waits for NATS at nats://127.0.0.1:", 1)
	hears("WATCHDOG=1", 2)
	s.ready(1, "not ready; waits for NATS at nats://127.0.0.1:")
	s.ready(0, "live", "--live")
	if n := m.heard("READY=1"); n != 0 {
		t.Error("ready without NATS")
	}
	server, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown() })
	hears("READY=1", 1)
	hears("STATUS=delivers", 1)
	s.ready(0, "ready")
	s.ready(0, "ready", "--address", s.admin)
	if err := worker.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	hears("RELOADING=1", 1)
	hears("MONOTONIC_USEC=", 1)
	hears("READY=1", 2)
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Fatalf("exit: %v\n%s", err, log())
	}
	hears("STOPPING=1", 1)
	s.ready(1, "")
	s.ready(2, "", "--address", "nowhere")
}

// ready asks the worker of the stage by `redoxworker ready`.
func (s *stage) ready(code int, says string, flags ...string) {
	s.Helper()
	a, out, errs := clitest.App(append([]string{"ready", "--config", s.config}, flags...)...)
	if got := run(s.Context(), *a); got != code || !strings.HasPrefix(out.String(), says) || says == "" && errs.String() == "" {
		s.Errorf("ready %q exits %d, want %d: %s%s", flags, got, code, out, errs)
	}
}
