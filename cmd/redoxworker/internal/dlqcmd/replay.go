package dlqcmd

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/operate"
)

// replayCommand sends dead letters again.
type replayCommand struct {
	deadChoice
	Rate         float64       `placeholder:"N" help:"At most N messages per second. Default: no bound; the quota holds in any case."`
	Canary       int           `placeholder:"N" help:"Send N first and wait until they are settled; go on only if all were delivered."`
	CanaryWait   time.Duration `name:"canary-wait" default:"5m" help:"How long to wait for them."`
	KeepDeadline bool          `name:"keep-deadline" help:"Leave those whose deadline has passed. Default: they are sent without it."`
}

// Run replays in the order in which the messages were first published. It can be interrupted
// at any time; the same command again goes on with what is left.
func (c replayCommand) Run(ctx context.Context, a *cli.App) error {
	q, err := c.check()
	if err != nil {
		return err
	}
	return c.change(ctx, a, q, "sent again", func(g *graveyard, s dlq.Selection, r *deadRun) error {
		return r.each(g.desk.Replay(ctx, s, c.options(a, r)))
	})
}

func (c replayCommand) check() (dlq.Query, error) {
	switch {
	case c.Rate < 0:
		return dlq.Query{}, cli.Usagef("--rate: %g; use a number above 0, of messages per second", c.Rate)
	case c.Canary < 0:
		return dlq.Query{}, cli.Usagef("--canary: %d; use 1 or more", c.Canary)
	case c.CanaryWait <= 0:
		return dlq.Query{}, cli.Usagef("--canary-wait: %s is no time to wait; use 5m, say", c.CanaryWait)
	}
	return c.query()
}

func (c replayCommand) options(a *cli.App, r *deadRun) operate.ReplayOptions {
	o := operate.ReplayOptions{ReplayOptions: dlq.ReplayOptions{DryRun: c.DryRun, KeepDeadline: c.KeepDeadline},
		Canary: c.Canary, CanaryWait: c.CanaryWait, Reason: c.Reason}
	if c.Rate > 0 {
		o.Pace = rate.NewLimiter(rate.Limit(c.Rate), 1).Wait
	}
	o.OnCanary = func(h dlq.Handled, s outbox.Settlement) {
		if s != outbox.Delivered {
			_ = r.bar.Println(a.Stderr, fmt.Sprintf("redoxworker: canary: %s of source %s: %s", cli.Printable(h.ReplayID), orNone(h.Source), s))
		}
	}
	return o
}
