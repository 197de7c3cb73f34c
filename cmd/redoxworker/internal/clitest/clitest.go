// Package clitest runs command lines within tests: in this process, their streams kept.
package clitest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/workertest"
)

// Output collects a stream and can be read meanwhile.
type Output = workertest.Output

// App is what a command line has of the world in a test: nothing on standard input, no
// environment, and streams that are kept.
func App(args ...string) (a *cli.App, out, errs *Output) {
	out, errs = new(Output), new(Output)
	return &cli.App{Args: args, Stdin: strings.NewReader(""), Stdout: out, Stderr: errs}, out, errs
}

// Process is a command that runs until it is stopped.
type Process struct {
	Out, Errs *Output
	Stop      func() int // ends it and answers its exit code; once
}

// Start runs a command line by execute and waits until standard output has the text ready.
func Start(t testing.TB, execute func(context.Context, cli.App) int, ready string, args ...string) *Process {
	t.Helper()
	a, out, errs := App(args...)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() { ended <- execute(ctx, *a) }()
	p := &Process{Out: out, Errs: errs, Stop: func() int { cancel(); return <-ended }}
	Eventually(t, args[0]+" says "+ready, func() bool { return strings.Contains(out.String(), ready) }, errs.String)
	return p
}

// Eventually polls a condition of the outside world for up to three minutes; after that the test
// ends, with the logs.
func Eventually(t testing.TB, what string, cond func() bool, logs ...func() string) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(3 * time.Minute)
	for !cond() {
		select {
		case <-ticker.C:
		case <-limit:
			for _, l := range logs {
				t.Log(l())
			}
			t.Fatalf("not within three minutes: %s", what)
		}
	}
}
