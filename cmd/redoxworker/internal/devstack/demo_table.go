package devstack

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// print the summary as tables, or as one object.
func (s *demoSummary) print(a *cli.App) {
	if a.Globals.JSON {
		_ = json.NewEncoder(a.Stdout).Encode(s) // a closed pipe is the reader's wish
		return
	}
	a.Printf("\n%s\n\n%s\n\n", s.settlementTable(a), s.factTable(a))
	if !s.OK {
		return
	}
	program := programName()
	a.Printf("All %d messages went as they should, in %.1fs. Next:\n\n", s.Messages, s.Took)
	a.Printf("  %-*s  the same, left running on ports, with commands to copy\n", len(program)+12, program+" dev")
	a.Printf("  %-*s  send a message of your own to it\n", len(program)+12, program+" send --help")
}

func (s *demoSummary) settlementTable(a *cli.App) string {
	t := a.NewTable()
	t.AppendHeader(table.Row{"settlement", "messages", "attempts", "median", "longest"})
	for _, x := range s.Settlements {
		t.AppendRow(table.Row{x.Settlement, x.Messages, x.Attempts, seconds(x.Median), seconds(x.Longest)})
	}
	return t.Render()
}

func (s *demoSummary) factTable(a *cli.App) string {
	t := a.NewTable()
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
	return a.Fitted(t, 2)
}

func seconds(s float64) string { return short(time.Duration(s * float64(time.Second))) }
