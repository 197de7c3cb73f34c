package consolecmd_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/consolecmd"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/workertest"
)

// refuse lets nobody in who comes to a NATS server at address, so many times, and returns.
func refuse(t *testing.T, address string, times int) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(30 * time.Second))
	for range times {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "INFO {\"server_id\":\"x\",\"version\":\"2.11.0\",\"max_payload\":1048576,\"auth_required\":true}\r\n")
		for lines := bufio.NewScanner(conn); lines.Scan() && lines.Text() != "PING"; {
		}
		_, _ = io.WriteString(conn, "-ERR 'Authorization Violation'\r\n")
		_ = conn.Close()
	}
}

// A console beside a worker outlives servers that refuse it for a while, as the worker does, and says so.
func TestServer_BesideOutlivesRefusals(t *testing.T) {
	t.Parallel()
	ports, err := natsdev.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprint("127.0.0.1:", ports[1])
	c, err := config.Load(config.Options{Skip: config.PartKeys | config.PartSources | config.PartOrderSecret,
		Flags: map[string]any{"nats.url": fmt.Sprint("nats://127.0.0.1:", ports[0]), "console.listen": address, "console.auth": config.ConsoleNone}})
	if err != nil {
		t.Fatal(err)
	}
	log := new(workertest.Output)
	s, err := consolecmd.Open(t.Context(), c, slog.New(slog.NewTextHandler(log, nil)), "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Beside(ctx) }()
	defer func() { stop(); <-ended }()
	ready := func() bool {
		answer, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	}
	options := natsdev.Options{Dir: t.TempDir(), Port: ports[0]}
	for range 2 {
		srv, err := natsdev.Start(options)
		if err != nil {
			t.Fatal(err)
		}
		clitest.Eventually(t, "ready", ready, log.String)
		if err := srv.Shutdown(); err != nil {
			t.Fatal(err)
		}
		refuse(t, fmt.Sprint("127.0.0.1:", ports[0]), 3)
	}
	if text := log.String(); !strings.Contains(text, "connection lost") || !strings.Contains(text, "connection=console") {
		t.Errorf("the log: %s", text)
	}
}
