// Command redoxworker delivers Redox messages from NATS JetStream, and does what the
// people who run it need: set up keys and streams, try them out, send, watch.
//
// A subcommand starts in the file of its name; pause.go has resume as well. What one
// subcommand needs besides begins with its name (bench_drive.go, dlq_row.go, devlock_unix.go);
// the other files are shared. main.go has the only signal handler and the only call of
// os.Exit. What run runs is package worker/service, for any program.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	dropStandardLog()
	// A reader that goes away, as head does, must not end this on the spot: there may be
	// messages in flight, and keys in a temporary directory.
	signal.Ignore(syscall.SIGPIPE)
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	hangsUp := !signal.Ignored(syscall.SIGHUP) // not under nohup
	if hangsUp {
		signals = append(signals, syscall.SIGHUP) // the terminal was closed
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, func() {
		stop() // a second signal kills at once
		if hangsUp {
			signal.Ignore(syscall.SIGHUP) // but that of a terminal, which may come twice
		}
	})
	code := run(ctx, app{
		args: os.Args[1:], environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	})
	stop()
	os.Exit(code)
}
