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
	"sync/atomic"
	"syscall"
)

// hangup is what SIGHUP does: it ends the command, as the terminal was closed, or has a daemon
// that has none read its files again.
type hangup struct{ reread atomic.Pointer[func()] }

func (h *hangup) watch(signals <-chan os.Signal, end func()) {
	for range signals {
		if reread := h.reread.Load(); reread != nil {
			(*reread)()
		} else {
			end()
		}
	}
}

func main() {
	dropStandardLog()
	// A reader that goes away, as head does, must not end this on the spot: there may be
	// messages in flight, and keys in a temporary directory.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(ctx, stop) // a second signal kills at once
	hung := new(hangup)
	if !signal.Ignored(syscall.SIGHUP) { // as it is under nohup
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGHUP) // that of a terminal may come twice
		go hung.watch(signals, cancel)
	}
	code := run(ctx, app{
		args: os.Args[1:], environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, hangup: hung,
	})
	cancel()
	stop()
	os.Exit(code)
}
