package clitest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// M runs the tests of a package, from its TestMain, and removes what Build built.
type M struct{ *testing.M }

// Run answers the exit code.
func (m M) Run() int {
	defer func() { _ = os.RemoveAll(built.dir) }()
	return m.M.Run()
}

// Build answers the file of the program itself, which is built once for the tests of a package.
func Build(t testing.TB) string {
	t.Helper()
	built.once.Do(build)
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "redoxworker")
}

var built struct {
	once sync.Once
	dir  string
	err  error
}

func build() {
	if built.dir, built.err = os.MkdirTemp("", "redoxworker-test-"); built.err != nil {
		return
	}
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", built.dir, "github.com/redoxworker/redoxworker/cmd/redoxworker")
	if text, err := cmd.CombinedOutput(); err != nil {
		built.err = fmt.Errorf("%w: %s", err, text)
	}
}
