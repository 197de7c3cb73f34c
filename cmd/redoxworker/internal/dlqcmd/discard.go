package dlqcmd

import (
	"context"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// discardCommand deletes dead letters for good.
type discardCommand struct {
	deadChoice
}

// Run deletes dead letters, and their bodies in the object store where nothing else
// names them.
func (c discardCommand) Run(ctx context.Context, a *cli.App) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	return c.change(ctx, a, q, "deleted for good", func(g *graveyard, s dlq.Selection, r *deadRun) error {
		return r.each(g.desk.Discard(ctx, s, dlq.DiscardOptions{DryRun: c.DryRun}, c.Reason))
	})
}
