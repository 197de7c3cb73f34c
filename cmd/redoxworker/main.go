// Command redoxworker delivers Redox messages from NATS JetStream, and does what the
// people who run it need: set up keys and streams, try them out, send, watch.
//
// root.go lists the subcommands. Each is in the file of its name, or in a package of internal that
// root.go names; pause.go has resume as well. What one needs besides begins with its name, as
// dlq_row.go. What they share is package internal/cli. What run runs is internal/daemon and, for
// any program, worker/service. main.go has the only signal handler and the only call of os.Exit.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

func main() {
	cli.DropStandardLog()
	// A reader that goes away, as head does, must not end this on the spot: there may be
	// messages in flight, and keys in a temporary directory.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(ctx, stop) // a second signal kills at once
	hung := new(cli.Hangup)
	if !signal.Ignored(syscall.SIGHUP) { // as it is under nohup
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGHUP) // that of a terminal may come twice
		go hung.Watch(signals, cancel)
	}
	code := run(ctx, cli.App{
		Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Hangup: hung, Version: buildVersion,
	})
	cancel()
	stop()
	os.Exit(code)
}
