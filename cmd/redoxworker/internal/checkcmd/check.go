// Package checkcmd has the command check, which tries everything that a worker depends on and changes
// nothing, and retry-plan, which says when a message is tried again and what ends it.
//
// check.go has the command, run.go what runs the checks side by side within their time, finding.go
// what they find and show.go how that is shown. Each check is in a file of its own.
package checkcmd

import (
	"context"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
)

// CheckCommand looks whether a worker of the configuration would work, and why not.
type CheckCommand struct {
	Token   bool          `help:"Also ask Redox for a token with each key."`
	All     bool          `help:"Show all findings that are alike, and not the first two of them."`
	Monitor string        `placeholder:"URL" help:"HTTP monitoring of the NATS server, for what it says nowhere else. Default: port 8222 of the server."`
	Timeout time.Duration `default:"10s" help:"How long one check may take; they run side by side."`
}

// order is that of the checks as they are shown.
var order = []string{
	checkConfig, checkFiles, checkKeys, checkClock, checkNATS, checkServer, checkRights, checkStreams, checkReplicas, checkConsumers, checkQueue,
	checkRetry, checkRedox, checkOutbox, checkSeal, checkConsole,
}

// Names of the checks.
const (
	checkConfig    = "config"
	checkFiles     = "files"
	checkKeys      = "keys"
	checkClock     = "clock"
	checkNATS      = "nats"
	checkServer    = "server"
	checkRights    = "rights"
	checkStreams   = "streams"
	checkReplicas  = "replicas"
	checkConsumers = "consumers"
	checkQueue     = "queue"
	checkRetry     = "retry"
	checkRedox     = "redox"
	checkOutbox    = "outbox"
	checkSeal      = "seal"
	checkConsole   = "console"
)

// Run tries everything; it fails where something is wrong.
func (k CheckCommand) Run(ctx context.Context, a *cli.App) error {
	if k.Timeout <= 0 {
		return cli.Usagef("--timeout: %s is no time to wait; use 10s, say", k.Timeout)
	}
	began := time.Now()
	r := newReport()
	run := &runner{report: r, timeout: k.Timeout}
	run.check(ctx, checkConfig, k.Timeout, func(ctx context.Context) { loadConfig(a, r) })
	run.wait()
	if c := r.config; c != nil { // nobody sets it any more: the check is over, or closed
		k.tryAll(ctx, run, c)
		run.wait()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	result := r.result(time.Since(began))
	if err := k.show(a, result); err != nil {
		return err
	}
	if result.Faults > 0 {
		return cli.ErrReported
	}
	return nil
}

// tryAll begins the checks of a configuration that can be read, whole or not.
func (k CheckCommand) tryAll(ctx context.Context, run *runner, c *config.Config) {
	r := run.report
	run.check(ctx, checkNATS, 2*k.Timeout, func(ctx context.Context) {
		n := connect(ctx, min(k.Timeout, connectTimeout), c, r)
		if n == nil {
			return
		}
		defer n.close()
		k.tryNATS(ctx, run, n)
	})
	run.check(ctx, checkRetry, k.Timeout, func(context.Context) { checkPlan(c, r) })
	run.check(ctx, checkSeal, k.Timeout, func(context.Context) { checkRing(c, time.Now(), r) })
	run.check(ctx, checkConsole, k.Timeout, func(ctx context.Context) { checkConsoleRights(ctx, c, r) })
	run.check(ctx, checkOutbox, k.Timeout, func(ctx context.Context) { checkDatabase(ctx, c, r) })
	if r.partial {
		r.unknown(checkKeys, "", "neither keys nor Redox were looked at", "mend the configuration first")
		return
	}
	run.check(ctx, checkFiles, k.Timeout, func(context.Context) { checkFilesOf(c, r) })
	run.check(ctx, checkKeys, timeFor(k.Timeout, len(c.Keys), k.Token), func(ctx context.Context) { checkKeysOf(ctx, c, k.Token, r) })
	run.check(ctx, checkRedox, k.Timeout, func(ctx context.Context) { checkHosts(ctx, c, r) })
}

// tryNATS runs the checks of a connection, and waits for them.
func (k CheckCommand) tryNATS(ctx context.Context, run *runner, n *natsWorld) {
	inner := &runner{report: run.report, timeout: run.timeout}
	for name, f := range map[string]func(context.Context){
		checkServer:    func(ctx context.Context) { n.checkServer(ctx, k.Monitor) },
		checkRights:    n.checkRights,
		checkStreams:   n.checkStreams,
		checkReplicas:  n.checkReplicas,
		checkConsumers: n.checkConsumers,
		checkQueue:     n.checkQueue,
	} {
		inner.check(ctx, name, k.Timeout, f)
	}
	inner.wait()
}

// timeFor is how long the keys may take: each is a request where tokens are asked for.
func timeFor(timeout time.Duration, keys int, token bool) time.Duration {
	if !token {
		return timeout
	}
	return timeout + time.Duration(keys)*50*time.Millisecond
}
