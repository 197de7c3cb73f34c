package daemon

import (
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/redoxworker/redoxworker/worker/service"
)

// hear is the next message at a socket, by lines. systemd drops one that is longer than that.
func hear(t *testing.T, conn *net.UnixConn) []string {
	t.Helper()
	message := make([]byte, 4097)
	n, err := conn.Read(message)
	if err != nil || n == len(message) || !utf8.Valid(message[:n]) {
		t.Fatalf("systemd drops %d bytes: %v", n, err)
	}
	return strings.Split(string(message[:n]), "\n")
}

// That a service is ready arrives whatever its problems are, and is told again where systemd was away.
func TestSystemd_IsToldThatItIsReady(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	t.Setenv("NOTIFY_SOCKET", path)
	problem := "stream X\x1b[2J\n" + strings.Repeat("ü", 5000)
	m := newSystemd(func() service.Status { return service.Status{Ready: true, Problems: []string{problem}} }, slog.New(slog.DiscardHandler))
	m.tell(false)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	m.tell(false)
	m.send("END=1") // where nothing was told
	lines := hear(t, conn)
	if len(lines) != 2 || !slices.Contains(lines, "READY=1") {
		t.Fatalf("%q", lines)
	}
	if status := lines[1]; !strings.HasPrefix(status, "STATUS=delivers; 1 problem, the first: stream X\uFFFD[2J ü") || !strings.HasSuffix(status, "ü…") {
		t.Errorf("%s", status)
	}
	m.tell(false)
	m.tell(true)
	_ = hear(t, conn)
	if lines := hear(t, conn); !slices.Equal(lines, []string{"STATUS=stopping; 0 in flight"}) {
		t.Errorf("%q after it was told", lines)
	}
}
