package dlqcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// lsCommand lists dead letters.
type lsCommand struct {
	deadFilter
	ID     []string `name:"id" sep:"none" placeholder:"ID" help:"Only of these messages."`
	Counts bool     `help:"Count them by source, settlement and reason."`
	Limit  int      `placeholder:"N" help:"The first N only. Default: all."`
}

// Run prints dead letters in the order in which they were stored, oldest first.
func (c lsCommand) Run(ctx context.Context, a *cli.App) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	if c.Limit < 0 {
		return cli.Usagef("--limit: %d; use 1 or more", c.Limit)
	}
	q.IDs = c.ID
	g, err := openDeadLetters(ctx, a)
	if err != nil {
		return err
	}
	defer g.Close()
	if c.Counts {
		return c.count(ctx, a, g, q)
	}
	q.Models = true
	return c.list(ctx, a, g, q)
}

func (c lsCommand) list(ctx context.Context, a *cli.App, g *graveyard, q dlq.Query) error {
	out := newDeadRows(a)
	n := 0
	for l, err := range g.List(ctx, q) {
		if errors.As(err, new(*dlq.UnreadableError)) {
			fmt.Fprintln(a.Stderr, "redoxworker: warning:", err)
			continue
		}
		if err != nil {
			return err
		}
		if err := out.print(newDeadRow(l)); err != nil {
			return err
		}
		if n++; n == c.Limit {
			break
		}
	}
	if n == 0 && !a.Globals.JSON {
		fmt.Fprintln(a.Stderr, "no dead letters")
	}
	return out.end()
}

func (c lsCommand) count(ctx context.Context, a *cli.App, g *graveyard, q dlq.Query) error {
	counts, unreadable, err := g.Counts(ctx, q)
	if err != nil {
		return err
	}
	warnUnreadable(a, unreadable)
	if a.Globals.JSON {
		encoder := json.NewEncoder(a.Stdout)
		for _, one := range counts {
			if err := encoder.Encode(one); err != nil {
				return err
			}
		}
		return nil
	}
	if len(counts) == 0 {
		fmt.Fprintln(a.Stderr, "no dead letters")
		return nil
	}
	t := a.NewTable()
	t.AppendHeader(table.Row{"messages", "source", "settlement", "oldest", "newest", "reason"})
	total := 0
	for _, one := range counts {
		total += one.Messages
		t.AppendRow(table.Row{one.Messages, orNone(one.Source), one.Settlement, cli.Clock(one.Oldest), cli.Clock(one.Newest), one.Reason})
	}
	t.AppendFooter(table.Row{total})
	a.Printf("%s\n", a.Fitted(t, 6))
	return nil
}

// deadRows prints one row per dead letter: JSON lines when asked for, tables on a terminal,
// columns between tabs elsewhere. It keeps a page of them at most.
type deadRows struct {
	app   *cli.App
	json  *json.Encoder
	table table.Writer
}

// pageRows is the length of a table on a terminal: the columns are aligned within it.
const pageRows = 200

func newDeadRows(a *cli.App) *deadRows {
	r := &deadRows{app: a}
	switch {
	case a.Globals.JSON:
		r.json = json.NewEncoder(a.Stdout)
	case cli.IsTerminal(a.Stdout):
		r.newPage()
	}
	return r
}

func (r *deadRows) newPage() {
	r.table = r.app.NewTable()
	r.table.AppendHeader(table.Row{"id", "source", "settlement", "message", "status", "attempts", "at", "error"})
}

func (r *deadRows) print(row deadRow) error {
	switch {
	case r.json != nil:
		return r.json.Encode(row)
	case r.table != nil:
		r.table.AppendRow(table.Row{cli.Printable(row.ID), orNone(row.Source), row.Settlement, row.model(), statusText(row.Status), row.Attempts, cli.Clock(row.At), row.Error})
		if r.table.Length() < pageRows {
			return nil
		}
		err := r.end()
		r.newPage()
		return err
	default:
		_, err := fmt.Fprintf(r.app.Stdout, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", cli.Printable(row.ID), orNone(row.Source), row.Settlement, row.model(),
			statusText(row.Status), row.Attempts, cli.Clock(row.At), row.Error)
		return err
	}
}

// end prints what is left of the last page.
func (r *deadRows) end() error {
	if r.table == nil || r.table.Length() == 0 {
		return nil
	}
	_, err := fmt.Fprintln(r.app.Stdout, r.app.Fitted(r.table, 8))
	return err
}

func orNone(source string) string {
	if source == "" {
		return outbox.NoSource
	}
	return source
}

func statusText(status int) string {
	if status == 0 {
		return "-"
	}
	return fmt.Sprint(status)
}
