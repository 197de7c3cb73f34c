package main

import (
	"context"

	"github.com/redoxworker/redoxworker/outbox"
)

// dlqDiscardCommand deletes dead letters for good.
type dlqDiscardCommand struct {
	deadChoice
}

// Run deletes dead letters, and their bodies in the object store where nothing else
// names them.
func (c dlqDiscardCommand) Run(ctx context.Context, a *app) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	g, err := openDeadLetters(ctx, a)
	if err != nil {
		return err
	}
	defer g.close()
	s, missing, err := c.choose(ctx, a, g, q, "deleted for good")
	if err != nil {
		return err
	}
	r := newDeadRun(a, s.Len(), c.DryRun, "deleted for good")
	err = r.each(g.Discard(ctx, s, outbox.DiscardOptions{DryRun: c.DryRun}), nothing)
	return r.result(ctx, err, len(missing))
}
