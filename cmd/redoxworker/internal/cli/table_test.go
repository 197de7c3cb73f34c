package cli

import (
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// What others have named does nothing to a terminal.
func TestFitted_IsPlain(t *testing.T) {
	t.Parallel()
	const hostile = "a\x1b[2J\u009b1m\u202eb\rc"
	a := &App{}
	w := a.NewTable()
	w.AppendRow(table.Row{"id", hostile})
	w.AppendRow(table.Row{"other", "line"})
	shown := a.Fitted(w, 2)
	if strings.ContainsAny(shown+OneLine(hostile+"\n"), "\x1b\u009b\u202e\r") || strings.Count(shown, "\n") != 1 || OneLine("a\n b") != "a b" {
		t.Errorf("%q, %q", shown, OneLine(hostile))
	}
}

// The text of the last column wraps within it, and is whole.
func TestFittedTo(t *testing.T) {
	t.Parallel()
	reason := strings.TrimSpace(strings.Repeat("some words of a reason ", 8))
	newTable := func() table.Writer {
		a := &App{}
		w := a.NewTable()
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

// Where the columns have no room beside each other, they stand below each other.
func TestFittedTo_Upright(t *testing.T) {
	t.Parallel()
	reason := `a "reason", with commas ` + strings.TrimSpace(strings.Repeat("and words ", 12))
	a := &App{}
	w := a.NewTable()
	w.SetStyle(table.StyleRounded)
	w.Style().Format.Header = text.FormatDefault
	w.AppendHeader(table.Row{"id", "source", "at", "status", "error"})
	w.AppendRow(table.Row{"01a225f0-b80e-7afd-bb90-596880b07ca6", "clinic-a", "2026-01-31T12:00:00Z", "", reason})
	w.AppendRow(table.Row{"01a225f0-b80e-7afd-bb90-596880b07ca7", "clinic-b", "2026-01-31T12:00:01Z", 400, "short"})
	got := fittedTo(w, 5, 80)
	if n := text.LongestLineLen(got); n > 80 {
		t.Errorf("80 columns: the table has %d\n%s", n, got)
	}
	var words []string
	for line := range strings.Lines(got) {
		if cells := strings.Split(line, "│"); len(cells) > 2 {
			words = append(words, strings.Fields(cells[1]+" "+cells[2])...)
		}
	}
	want := "id 01a225f0-b80e-7afd-bb90-596880b07ca6 source clinic-a at 2026-01-31T12:00:00Z error " + reason +
		" id 01a225f0-b80e-7afd-bb90-596880b07ca7 source clinic-b at 2026-01-31T12:00:01Z status 400 error short"
	if strings.Join(words, " ") != want {
		t.Errorf("not the cells, each with its name:\n%s", got)
	}
}
