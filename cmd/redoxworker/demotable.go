package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// print the summary as tables, or as one object.
func (s *demoSummary) print(a *app) {
	if a.globals.JSON {
		_ = json.NewEncoder(a.stdout).Encode(s) // a closed pipe is the reader's wish
		return
	}
	a.printf("\n%s\n\n%s\n\n", s.settlementTable(a), s.factTable(a))
	if !s.OK {
		return
	}
	program := programName()
	a.printf("All %d messages went as they should, in %.1fs. Next:\n\n", s.Messages, s.Took)
	a.printf("  %-*s  the same, left running on ports, with commands to copy\n", len(program)+12, program+" dev")
	a.printf("  %-*s  send a message of your own to it\n", len(program)+12, program+" send --help")
}

// newTable has lines where somebody looks at it, on a terminal.
func (a *app) newTable() table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleRounded)
	t.Style().Format.Header = 0
	if !isTerminal(a.stdout) {
		t.SuppressTrailingSpaces()
		t.Style().Options = table.OptionsNoBordersAndSeparators
	}
	return t
}

func (s *demoSummary) settlementTable(a *app) string {
	t := a.newTable()
	t.AppendHeader(table.Row{"settlement", "messages", "attempts", "median", "longest"})
	for _, x := range s.Settlements {
		t.AppendRow(table.Row{x.Settlement, x.Messages, x.Attempts, seconds(x.Median), seconds(x.Longest)})
	}
	return t.Render()
}

func (s *demoSummary) factTable(a *app) string {
	t := a.newTable()
	var streams []string
	for _, x := range s.Streams {
		streams = append(streams, fmt.Sprintf("%s %d", x.Name, x.Messages))
	}
	order := "kept, one at a time"
	if !s.Redox.InOrder {
		order = "broken"
	}
	t.AppendRow(table.Row{"NATS holds", strings.Join(streams, ", ")})
	t.AppendRow(table.Row{"Redox answered", s.Redox.Answers})
	t.AppendRow(table.Row{"Redox took", fmt.Sprintf("%d messages, %d of them twice, %d requests with a Source ID", s.Redox.Accepted, s.Redox.Duplicates, s.Redox.SourceIDs)})
	t.AppendRow(table.Row{"patients' order", order})
	t.AppendRow(table.Row{"tokens", fmt.Sprintf("%d made, %d dropped after a 401", s.Tokens.Minted, s.Tokens.Dropped)})
	return a.fitted(t, 2)
}

func seconds(s float64) string { return short(time.Duration(s * float64(time.Second))) }
