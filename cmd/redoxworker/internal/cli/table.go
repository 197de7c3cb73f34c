package cli

import (
	"encoding/csv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// NewTable has lines where somebody looks at it, on a terminal.
func (a *App) NewTable() table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleRounded)
	t.Style().Format.Header = 0
	if !IsTerminal(a.Stdout) {
		t.SuppressTrailingSpaces()
		t.Style().Options = table.OptionsNoBordersAndSeparators
	}
	return t
}

// Width of the terminal that standard output is; 0 where it is none.
func (a *App) Width() int {
	width, _ := TerminalSize(a.Stdout)
	return width
}

// leastText is what a column of text is left, however narrow the terminal.
const leastText = 24

// Fitted renders a table whose last column, by its number, is text. On a terminal that is
// too narrow the text wraps within its column, and where that is not enough, the columns
// stand below each other: a row that the terminal wraps is unreadable. What a terminal takes for
// more than text is gone from it.
func (a *App) Fitted(t table.Writer, last int) string {
	return plain(fittedTo(t, last, a.Width()))
}

func fittedTo(t table.Writer, last, width int) string {
	whole := t.Render()
	if width <= 0 || text.LongestLineLen(whole) <= width {
		return whole
	}
	t.SetColumnConfigs([]table.ColumnConfig{{Number: last, Hidden: true}})
	left := width - text.LongestLineLen(t.Render()) - text.StringWidth(" │ ")
	if t.SetColumnConfigs(nil); left < leastText && last > 2 {
		return fittedTo(upright(t), 2, width)
	}
	t.SetColumnConfigs([]table.ColumnConfig{{Number: last, WidthMax: max(left, leastText), WidthMaxEnforcer: text.WrapSoft}})
	return t.Render()
}

// upright is the table with a line for each cell that is not empty, named by its header.
func upright(t table.Writer) table.Writer {
	up := table.NewWriter()
	up.SetStyle(*t.Style())
	rows, _ := csv.NewReader(strings.NewReader(t.RenderCSV())).ReadAll() // a writer gives its rows back in no other way
	for i, row := range rows {
		if i == 0 {
			continue
		}
		for column, cell := range row {
			if cell != "" {
				up.AppendRow(table.Row{rows[0][column], cell})
			}
		}
		up.AppendSeparator()
	}
	return up
}
