package dlqcmd

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// replayCommand sends dead letters again.
type replayCommand struct {
	deadChoice
	Rate         float64       `placeholder:"N" help:"At most N messages per second. Default: no bound; the quota holds in any case."`
	Canary       int           `placeholder:"N" help:"Send N first and wait until they are settled; go on only if all were delivered."`
	CanaryWait   time.Duration `name:"canary-wait" default:"5m" help:"How long to wait for them."`
	KeepDeadline bool          `name:"keep-deadline" help:"Leave those whose deadline has passed. Default: they are sent without it."`
}

// canaryPoll is how often the settlement of a canary is looked for.
const canaryPoll = 200 * time.Millisecond

// Run replays in the order in which the messages were first published. It can be interrupted
// at any time; the same command again goes on with what is left.
func (c replayCommand) Run(ctx context.Context, a *cli.App) error {
	q, err := c.check()
	if err != nil {
		return err
	}
	return c.change(ctx, a, q, "sent again", func(g *graveyard, s dlq.Selection, r *deadRun) error {
		return c.replay(ctx, g, s, r)
	})
}

// replay the canary, if there is to be one, and then the others.
func (c replayCommand) replay(ctx context.Context, g *graveyard, s dlq.Selection, r *deadRun) error {
	canary := c.Canary
	if c.DryRun {
		canary = 0
	}
	head, rest := s.Split(canary)
	var sent []dlq.Handled
	err := r.each(g.Replay(ctx, head, c.options()), func(h dlq.Handled) { sent = append(sent, h) })
	if err == nil && head.Len() > 0 {
		err = c.awaitCanary(ctx, g, r, sent, rest.Len())
	}
	if err == nil {
		err = r.each(g.Replay(ctx, rest, c.options()), nothing)
	}
	return err
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

func (c replayCommand) options() dlq.ReplayOptions {
	o := dlq.ReplayOptions{DryRun: c.DryRun, KeepDeadline: c.KeepDeadline}
	if c.Rate > 0 {
		o.Pace = rate.NewLimiter(rate.Limit(c.Rate), 1).Wait
	}
	return o
}

// canaryError says why the others were not sent.
type canaryError struct{ error }

func canaryf(format string, args ...any) error {
	return canaryError{fmt.Errorf("canary: "+format, args...)}
}

// awaitCanary waits until the first ones are settled. Its error says that the others are
// not sent.
func (c replayCommand) awaitCanary(ctx context.Context, g *graveyard, r *deadRun, sent []dlq.Handled, others int) error {
	left := cli.Counted(others, "dead letter") + " left untouched"
	ctx, cancel := context.WithTimeoutCause(ctx, c.CanaryWait, canaryf("not settled within %s, %s; does a worker run?", c.CanaryWait, left))
	defer cancel()
	poll := time.NewTicker(canaryPoll)
	defer poll.Stop()
	failed, delivered := 0, 0
	for _, h := range sent {
		if h.ReplayID == "" {
			continue
		}
		settlement, err := settledOf(ctx, g, h, poll)
		if err != nil {
			return err
		}
		if settlement == outbox.Delivered {
			delivered++
			continue
		}
		failed++
		_ = r.bar.Println(r.app.Stderr, fmt.Sprintf("redoxworker: canary: %s of source %s: %s", h.ReplayID, h.Source, settlement))
	}
	switch {
	case failed > 0:
		return canaryf("%d of %d failed again, %s; see dlq show", failed, failed+delivered, left)
	case delivered == 0 && others > 0:
		return canaryf("none of the first %s could be sent, %s", cli.Counted(len(sent), "dead letter"), left)
	}
	return nil
}

func settledOf(ctx context.Context, g *graveyard, h dlq.Handled, poll *time.Ticker) (outbox.Settlement, error) {
	for {
		settlement, ok, err := g.Settled(ctx, h)
		if ok {
			return settlement, nil
		}
		if err != nil && ctx.Err() == nil {
			return "", err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return "", cli.WhyEnded(ctx)
		}
	}
}
