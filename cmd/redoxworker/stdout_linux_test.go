package main

import (
	"os"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// A result that could not be written is a failure: a script would go on with half of it.
func TestRun_AFullDiskBehindStdoutIsAFailure(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"version", "--json"}, {"config", "schema"}} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		var stderr output
		code := run(t.Context(), cli.App{Args: args, Stdin: strings.NewReader(""), Stdout: full, Stderr: &stderr})
		if code != cli.ExitFailed || !strings.Contains(stderr.String(), "no space left on device") {
			t.Errorf("%v: exit %d, %q", args, code, stderr.String())
		}
		if err := full.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A reader that went away, as head does, has what it wanted.
func TestRun_AReaderThatWentAwayIsNoFailure(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	var stderr output
	if code := run(t.Context(), cli.App{Args: []string{"version"}, Stdin: strings.NewReader(""), Stdout: w, Stderr: &stderr}); code != cli.ExitOK {
		t.Errorf("exit %d, %q", code, stderr.String())
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
