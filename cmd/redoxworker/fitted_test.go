package main

import (
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// The text of the last column wraps within it, and is whole.
func TestFittedTo(t *testing.T) {
	t.Parallel()
	reason := strings.TrimSpace(strings.Repeat("some words of a reason ", 8))
	newTable := func() table.Writer {
		a := &app{}
		w := a.newTable()
		w.SetStyle(table.StyleRounded)
		w.AppendHeader(table.Row{"id", "error"})
		w.AppendRow(table.Row{"01a225f0-b80e-7afd-bb90-596880b07ca6", reason})
		return w
	}
	whole := newTable().Render()
	for _, width := range []int{0, 300, text.LongestLineLen(whole)} {
		if got := fittedTo(newTable(), 2, width); got != whole {
			t.Errorf("%d columns: the table was changed\n%s", width, got)
		}
	}
	for _, width := range []int{text.LongestLineLen(whole) - 1, 100, 80} {
		got := fittedTo(newTable(), 2, width)
		if n := text.LongestLineLen(got); n > width {
			t.Errorf("%d columns: the table has %d\n%s", width, n, got)
		}
		var words []string
		for line := range strings.Lines(got) {
			if cells := strings.Split(line, "│"); len(cells) > 2 && !strings.Contains(line, "ERROR") {
				words = append(words, strings.Fields(cells[2])...)
			}
		}
		if strings.Join(words, " ") != reason {
			t.Errorf("%d columns: text was lost\n%s", width, got)
		}
	}
	if got := fittedTo(newTable(), 2, 20); text.LongestLineLen(got) > 80 {
		t.Errorf("hardly a column:\n%s", got)
	}
}
