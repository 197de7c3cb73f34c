package dlqcmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// maxName is the width of a source or model in a table of counts.
const maxName = 24

func (c lsCommand) count(ctx context.Context, a *cli.App, g *graveyard, q dlq.Query) error {
	by, err := dlq.ParseGrouping(c.By)
	if err != nil {
		return cli.Usagef("--by: %w", err)
	}
	counts, unreadable, err := g.Counts(ctx, q, by)
	if err != nil {
		return err
	}
	warnUnreadable(a, unreadable)
	shown, left := counts, 0
	if limit := c.limit(a, shownCounts); limit > 0 && len(counts) > limit {
		shown = counts[:limit]
		for _, one := range counts[limit:] {
			left += one.Messages
		}
	}
	if a.Globals.JSON {
		return cli.EncodeAll(a, shown)
	}
	if len(counts) == 0 {
		fmt.Fprintln(a.Stderr, "no dead letters")
		return nil
	}
	a.Printf("%s\n", countTable(a, shown, by, left))
	if left > 0 {
		fmt.Fprintf(a.Stderr, "%d more rows with %s: --limit 0 shows all\n", len(counts)-len(shown), cli.Counted(left, "dead letter"))
	}
	return nil
}

// countTable has the columns that there are, the reason last, which wraps.
func countTable(a *cli.App, counts []dlq.Count, by dlq.Grouping, left int) string {
	t := a.NewTable()
	columns := slices.DeleteFunc(by.Names(), func(name string) bool { return name == "reason" })
	header := table.Row{"messages"}
	for _, name := range columns {
		header = append(header, name)
	}
	terminal := cli.IsTerminal(a.Stdout)
	header = append(header, "oldest", "newest")
	if by.Has("reason") {
		header = append(header, "reason")
	}
	t.AppendHeader(header)
	total := left
	for _, one := range counts {
		total += one.Messages
		row := table.Row{one.Messages}
		for _, name := range columns {
			value := one.Value(name)
			if name == "source" {
				value = orNone(value)
			}
			if terminal {
				value = clipped(value, maxName)
			}
			row = append(row, value)
		}
		if terminal {
			row = append(row, age(one.Oldest), age(one.Newest))
		} else {
			row = append(row, cli.Clock(one.Oldest), cli.Clock(one.Newest))
		}
		if by.Has("reason") {
			row = append(row, one.Reason)
		}
		t.AppendRow(row)
	}
	t.AppendFooter(table.Row{total})
	return strings.TrimRight(a.Fitted(t, len(header)), "\n")
}
