package dlqcmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

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
	if width := a.Width(); width > 0 && width < wideCounts && by.Has("reason") {
		a.Printf("%s", countLines(width, shown, by, left))
	} else {
		a.Printf("%s\n", countTable(a, shown, by, left))
	}
	if left > 0 {
		fmt.Fprintf(a.Stderr, "%d more rows with %s: --limit 0 shows all\n", len(counts)-len(shown), cli.Counted(left, "dead letter"))
	}
	return nil
}

// wideCounts is the width of a terminal that has room for all columns and a reason.
const wideCounts = 120

// countLines has two lines for each count, or a few where the reason is long, for a narrow terminal: how
// many they are and what they have in common, and why they are dead.
func countLines(width int, counts []dlq.Count, by dlq.Grouping, left int) string {
	const indent = "         "
	var out strings.Builder
	total := left
	for _, one := range counts {
		total += one.Messages
		what := []string{fmt.Sprintf("%7d", one.Messages)}
		for _, name := range by.Names() {
			value := one.Value(name)
			if name == "source" {
				value = orNone(value)
			}
			if name != "reason" && value != "" {
				what = append(what, clipped(cli.OneLine(value), maxName))
			}
		}
		when := age(one.Oldest) + " old"
		if newest := age(one.Newest); newest != age(one.Oldest) {
			when = newest + " to " + when
		}
		out.WriteString(text.Snip(strings.Join(append(what, when), "  "), width, "…") + "\n")
		reason := strings.TrimRight(text.WrapSoft(cli.OneLine(one.Reason), max(width-len(indent), 20)), "\n ")
		for line := range strings.SplitSeq(reason, "\n") {
			out.WriteString(indent + strings.TrimRight(line, " ") + "\n")
		}
	}
	return out.String() + fmt.Sprintf("%7d  in all\n", total)
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
