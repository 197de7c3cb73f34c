//go:build unix

package audit_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/redoxworker/redoxworker/worker/audit"
)

// A line that got through in part, as to a disk that was full, takes no other with it. The
// file is a pipe here, whose reader leaves in the middle of a line.
func TestFile_ATornLineTakesNoOtherWithIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// Held open, so that what was written stays.
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	f, err := audit.NewFile(path)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- f.Append(t.Context(), audit.Entry{Error: strings.Repeat("x", 1<<20)}) }()
	if _, err := reader.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	_ = reader.Close()
	if err := <-failed; err == nil {
		t.Fatal("the line got through: the test shows nothing")
	}
	if reader, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	go func() {
		for _, id := range []string{"one", "two"} {
			if err := f.Append(t.Context(), audit.Entry{Message: id}); err != nil {
				t.Error(err)
			}
		}
		_ = f.Close()
	}()
	last := ""
	lines := bufio.NewReader(reader)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if strings.HasPrefix(line, "{") && strings.HasSuffix(line, "}\n") && !strings.Contains(line, "xx") {
			last += line
		}
	}
	if n := strings.Count(last, "\n"); n != 2 {
		t.Errorf("%d whole lines, want 2", n)
	}
}
