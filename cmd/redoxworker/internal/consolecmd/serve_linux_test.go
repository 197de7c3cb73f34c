package consolecmd

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/redoxworker/redoxworker/config"
)

// A socket that nobody listens to is replaced, and one whose listener is too busy to answer is not.
func TestListen_TakesNobodysSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for { // until its backlog is full
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
		if err != nil {
			break
		}
		defer func() { _ = conn.Close() }()
	}
	if _, err := listen(t.Context(), unixPrefix+path); err == nil {
		t.Error("the socket of another was taken")
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
	if err := syscall.Close(fd); err != nil {
		t.Fatal(err)
	}
	l, err := listen(t.Context(), unixPrefix+path)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

// The flag takes a socket, which is of this machine alone.
func TestCommand_ListensOnASocket(t *testing.T) {
	t.Parallel()
	s := config.Console{}
	if err := (Command{Listen: "unix:/run/c.sock"}).place(&s); err != nil || s.Listen != "unix:/run/c.sock" {
		t.Errorf("%q, %v", s.Listen, err)
	}
}
