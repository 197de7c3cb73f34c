package bench

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// loopProgress shows on a terminal what is being measured.
type loopProgress struct {
	show        func(format string, args ...any)
	done, total int
}

func newLoopProgress(a *cli.App, total int) *loopProgress {
	p := &loopProgress{total: total, show: func(string, ...any) {}}
	if cli.IsTerminal(a.Stderr) {
		p.show = func(format string, args ...any) { fmt.Fprintf(a.Stderr, "\r\x1b[K"+format, args...) }
	}
	return p
}

func (p *loopProgress) step(s loopSetting, role processRole) {
	p.show("%3d %%  %d in flight, %s, %s: %s", 100*p.done/p.total, s.inFlight, byteSize(s.size), cli.Counted(s.sources, "source"), role)
	p.done++
}

func (p *loopProgress) end() { p.show("") }

// harmProgress says on a terminal what is being measured.
func harmProgress(a *cli.App, format string, args ...any) {
	if cli.IsTerminal(a.Stderr) {
		fmt.Fprintf(a.Stderr, format+"\n", args...)
	}
}

// numbers has all columns of a table to the right.
func numbers(columns int) []table.ColumnConfig {
	configs := make([]table.ColumnConfig, columns)
	for i := range configs {
		configs[i] = table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight}
	}
	return configs
}

// newTable is a table whose header is written as it is.
func newTable() table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	return t
}
