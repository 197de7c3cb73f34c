package main

import (
	"bufio"
	"os"
	"os/exec"
	"testing"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
)

// A reader that has seen enough leaves nothing behind: the directory of the demonstration
// holds a key.
func TestDemo_ReaderGoesAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := clitest.Build(t)
	cmd := exec.Command(path, "demo")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line == "" {
		t.Errorf("the first line is %q, %v", line, err)
	}
	_ = out.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
