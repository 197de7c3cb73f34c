// Package nodejs runs programs of Node.js for tests that stand before what others wrote for it. It
// imports nothing but the standard library, so that a module of such tests needs nothing for it.
package nodejs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Start runs a program in its directory until the test is over, and returns the first line that it
// prints. env are variables that it has besides those of the test, as NAME=VALUE. The program ends when its
// input does. The test fails where Node.js or the packages of the directory are not installed, where the
// program does not start, and where its end is not a good one.
func Start(t testing.TB, dir, program string, env ...string) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is not installed: install Node.js 20 or later")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Fatalf("%s has no node_modules: run npm ci in it", dir)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), node, program) // its input ends it
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), env...), &stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(input.Close(), cmd.Wait()); err != nil {
			t.Errorf("%s: its end: %v\n%s", program, err, stderr.String())
		}
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("%s did not start: %v", program, err) // the end says why
	}
	return strings.TrimSpace(line)
}
