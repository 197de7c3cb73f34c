package dlqcmd

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// deadRows prints one row per dead letter: JSON lines when asked for, tables on a terminal, two lines
// to a dead letter on a narrow one, columns between tabs elsewhere. It keeps a page of them at most.
type deadRows struct {
	app    *cli.App
	json   *json.Encoder
	table  table.Writer
	narrow int // the width of a narrow terminal
}

const (
	// pageRows is the length of a table on a terminal: the columns are aligned within it.
	pageRows = 200
	// wideTable is the width of a terminal that has room for an id, the other columns and a text.
	wideTable = 120
)

func newDeadRows(a *cli.App) *deadRows {
	r := &deadRows{app: a}
	switch width := a.Width(); {
	case a.Globals.JSON:
		r.json = json.NewEncoder(a.Stdout)
	case width >= wideTable:
		r.newPage()
	case width > 0:
		r.narrow = width
	}
	return r
}

func (r *deadRows) newPage() {
	r.table = r.app.NewTable()
	r.table.AppendHeader(table.Row{"id", "source", "settlement", "message", "status", "attempts", "age", "error"})
}

func (r *deadRows) print(row deadRow) error {
	switch {
	case r.json != nil:
		return r.json.Encode(row)
	case r.table != nil:
		r.table.AppendRow(table.Row{cli.Printable(row.ID), orNone(row.Source), row.Settlement, row.Model(), statusText(row.Status), row.Attempts, age(row.At), row.Error})
		if r.table.Length() < pageRows {
			return nil
		}
		err := r.end()
		r.newPage()
		return err
	case r.narrow > 0:
		_, err := fmt.Fprint(r.app.Stdout, row.narrow(r.narrow))
		return err
	default:
		_, err := fmt.Fprintf(r.app.Stdout, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", cli.Printable(row.ID), orNone(row.Source), row.Settlement, row.Model(),
			statusText(row.Status), row.Attempts, cli.Clock(row.At), cli.OneLine(row.Error))
		return err
	}
}

// narrow is a dead letter in two lines of so many columns: what it is, which stays whole, and why.
func (r deadRow) narrow(width int) string {
	what := fmt.Sprintf("%s  %s  %s  %s", cli.Printable(r.ID), orNone(r.Source), r.Settlement, age(r.At))
	why := cli.OneLine(r.Error)
	if model := r.Model(); model != "" {
		why = model + ": " + why
	}
	if r.Attempts > 1 {
		why += fmt.Sprintf(" (%d attempts)", r.Attempts)
	}
	return what + "\n    " + text.Snip(why, width-4, "…") + "\n"
}

// end prints what is left of the last page.
func (r *deadRows) end() error {
	if r.table == nil || r.table.Length() == 0 {
		return nil
	}
	_, err := fmt.Fprintln(r.app.Stdout, r.app.Fitted(r.table, 8))
	return err
}

// age is how long ago something was.
func age(at time.Time) string { return cli.Ago(time.Since(at)) }

func orNone(source string) string {
	if source == "" {
		return contract.NoSource
	}
	return source
}

func statusText(status int) string {
	if status == 0 {
		return "-"
	}
	return fmt.Sprint(status)
}

// clipped bounds a name of a table's column.
func clipped(name string, width int) string { return text.Snip(strings.TrimSpace(name), width, "…") }
