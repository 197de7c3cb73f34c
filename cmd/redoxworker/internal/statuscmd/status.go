package statuscmd

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/overview"
	"github.com/redoxworker/redoxworker/worker/service"
)

// Status is the command that shows what waits and why.
type Status struct {
	Watch    bool `short:"w" help:"Show it again and again, until interrupted; with --json a line each time."`
	ExitCode bool `help:"End with exit code 3 when something needs a person or could not be learnt."`
	All      bool `short:"a" help:"Every source that has messages, not only those that need a person and the largest."`
}

// Run looks, and changes nothing.
func (c Status) Run(ctx context.Context, a *cli.App) error {
	if c.Watch && c.ExitCode {
		return cli.Usagef("--exit-code: --watch has no end; leave one of them out")
	}
	q, err := a.OpenSession(ctx, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer q.Close()
	g, err := gatherer(q)
	if err != nil {
		return err
	}
	if c.Watch {
		return c.watch(ctx, a, g)
	}
	o := g.Gather(ctx)
	if err := c.show(a, &o); err != nil {
		return err
	}
	switch {
	case o.Queue == nil:
		return errors.New("not known: " + o.Unknown[0])
	case c.ExitCode && !o.Healthy():
		return cli.ErrUnhealthy
	}
	return nil
}

func gatherer(q *cli.Session) (*overview.Gatherer, error) {
	return overview.New(q.JS, overview.Config{Prefix: q.Prefix, Topology: service.Topology(q.Config), Explain: q.Explain})
}

// leastPause lies between two looks, however long they take.
const leastPause = 100 * time.Millisecond

// watch shows it until ctx ends. Where the server has much to count it is asked less often.
func (c Status) watch(ctx context.Context, a *cli.App, g *overview.Gatherer) error {
	for {
		began := time.Now()
		o := g.Gather(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := c.show(a, &o); err != nil {
			return err
		}
		timer := time.NewTimer(max(leastPause, g.Pause()-time.Since(began)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// show prints what there is, once.
func (c Status) show(a *cli.App, o *overview.Overview) error {
	if a.Globals.JSON {
		encoder := json.NewEncoder(a.Stdout)
		if !c.Watch {
			encoder.SetIndent("", "  ")
		}
		return encoder.Encode(o)
	}
	s := screenOf(a, c)
	s.draw(o)
	return a.PrintText(s.text())
}
