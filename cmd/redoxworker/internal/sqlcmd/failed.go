package sqlcmd

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// failedCommand is about rows that cannot be published.
type failedCommand struct {
	Ls      failedLsCommand      `cmd:"" help:"List them, oldest first."`
	Retry   failedRetryCommand   `cmd:"" help:"Put them back into the table, before the later ones of their order key."`
	Discard failedDiscardCommand `cmd:"" help:"Delete them for good."`
}

// failedLsCommand lists failed rows.
type failedLsCommand struct {
	Limit int `placeholder:"N" help:"The first N only. Default: all."`
}

// Run prints a row a line.
func (c failedLsCommand) Run(ctx context.Context, a *cli.App) error {
	if c.Limit < 0 {
		return cli.Usagef("--limit: %d; use 1 or more", c.Limit)
	}
	b, err := open(a, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer func() { _ = b.db.Close() }()
	rows, err := b.Failed(ctx, b.db, c.Limit)
	if err != nil {
		return err
	}
	if a.Globals.JSON {
		encoder := json.NewEncoder(a.Stdout)
		for _, row := range rows {
			if err := encoder.Encode(row); err != nil {
				return err
			}
		}
		return nil
	}
	if len(rows) == 0 {
		fmt.Fprintln(a.Stderr, "no failed rows")
		return nil
	}
	t := a.NewTable()
	t.AppendHeader(table.Row{"id", "source", "at", "bytes", "why"})
	for _, row := range rows {
		t.AppendRow(table.Row{row.ID, row.Source, cli.Clock(row.FailedAt), row.Bytes, row.Failed})
	}
	a.Printf("%s\n", a.Fitted(t, 5))
	return nil
}

// failedChoice says which rows are changed.
type failedChoice struct {
	IDs    []string `arg:"" name:"id" sep:"none" help:"Message ids."`
	Source string   `help:"Of this source. Needed where several sources have a failed row of an id."`
	Force  bool     `help:"Do not ask. Needed where there is no terminal."`
}

// each asks, and changes one row after the other.
func (c failedChoice) each(ctx context.Context, a *cli.App, verb, done string, change func(*box, string) error) error {
	b, err := open(a, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer func() { _ = b.db.Close() }()
	if err := a.Confirm(ctx, cli.Counted(len(c.IDs), "failed row")+" would be "+verb, c.Force); err != nil {
		return err
	}
	failed := 0
	for _, id := range c.IDs {
		if err := change(b, id); err != nil {
			failed++
			fmt.Fprintf(a.Stderr, "redoxworker: %q: %v\n", id, err)
			continue
		}
		a.Printf("%s\t%s\n", id, done)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s failed", failed, cli.Counted(len(c.IDs), "row"))
	}
	return nil
}

// failedRetryCommand puts rows back.
type failedRetryCommand struct{ failedChoice }

// Run puts the rows back into the table, where a relay finds them.
func (c failedRetryCommand) Run(ctx context.Context, a *cli.App) error {
	return c.each(ctx, a, "published again", "put back", func(b *box, id string) error { return b.Retry(ctx, b.db, c.Source, id) })
}

// failedDiscardCommand deletes rows.
type failedDiscardCommand struct{ failedChoice }

// Run deletes the rows.
func (c failedDiscardCommand) Run(ctx context.Context, a *cli.App) error {
	return c.each(ctx, a, "deleted for good", "deleted", func(b *box, id string) error { return b.Discard(ctx, b.db, c.Source, id) })
}
