package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/service"
)

// print shows the status to a person.
func (s status) print(a *cli.App) {
	if len(s.Lanes) > 0 {
		a.Printf("%s\n\n", s.laneTable(a))
	}
	a.Printf("backlog       %s; %s\n", cli.Counted(s.Backlog, "message"), cli.Counted(s.Dead, "dead letter"))
	if s.Strays > 0 {
		a.Printf("astray        %s under subjects that no worker reads; list them with `nats stream subjects %s`\n", cli.Counted(s.Strays, "message"), s.out)
	}
	if len(s.Problems) > 0 {
		a.Printf("problems      %s\n", listed(s.Problems, func(line string) string { return line }))
	}
	a.Printf("time to drain %s\n", s.drain())
	a.Printf("quota         %s\n", s.quota())
	a.Printf("paused        %s\n", listed(s.Pauses, cli.ShownPause))
	if len(s.Slow) > 0 {
		a.Printf("slow          %s\n", listed(s.Slow, cli.ShownSlow))
	}
	if len(s.Unanswered) > 0 {
		a.Printf("unanswered    %s\n", shownMap(s.Unanswered, func(why string) string { return why }))
	}
	a.Printf("breakers      %s\n", shownMap(s.Breakers, func(state string) string { return state }))
	a.Printf("tokens        %s\n", shownMap(s.Tokens, shownTokens))
}

func (s status) laneTable(a *cli.App) string {
	t := a.NewTable()
	t.SuppressEmptyColumns()
	t.AppendHeader(table.Row{"source", "lane", "waiting", "ordered", "in hand", "redelivered", ""})
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 3, Align: text.AlignRight}, {Number: 4, Align: text.AlignRight}, {Number: 5, Align: text.AlignRight}, {Number: 6, Align: text.AlignRight}})
	for _, l := range s.Lanes {
		t.AppendRow(table.Row{l.Source, l.Lane, l.Waiting, l.Ordered, l.InHand, l.Redelivered, s.note(l)})
	}
	return a.Fitted(t, 7)
}

// note says why nobody takes what waits.
func (s status) note(l laneStatus) string {
	switch {
	case s.unknown || l.Pulls > 0 || l.InHand > 0 || l.Waiting == 0:
		return ""
	case !l.served:
		return "no worker serves it"
	case s.Quota != nil && s.Quota.Workers > 0:
		return "waits for the quota, or no worker pulls" // no pull waits while requests are scarce
	}
	return "no worker pulls"
}

func (s status) drain() string {
	switch {
	case s.DrainSeconds == nil:
		return "unknown: no quota is kept"
	case slices.ContainsFunc(s.Pauses, func(p worker.Paused) bool { return p.Operator && p.Scope == "all" }):
		return "never while all is paused"
	}
	return fmt.Sprintf("%v at the rate of the quota", time.Duration(*s.DrainSeconds*float64(time.Second)))
}

func (s status) quota() string {
	q := s.Quota
	if q == nil {
		if len(s.Problems) > 0 {
			return "not known"
		}
		return "not kept for the fleet"
	}
	line := fmt.Sprintf("group %s: %d of %d in %v used or set aside, %d left; %s", q.Group, q.Used, q.Requests, q.Per, q.Left, cli.Counted(q.Workers, "worker"))
	if q.Pace > 0 {
		line += fmt.Sprintf("; SENDs are paced at %.3g/s", q.Pace)
	}
	if q.Next > 0 {
		line += fmt.Sprintf("; the next is free in %v", q.Next.Round(time.Millisecond))
	}
	return line
}

func shownTokens(t service.KeyStatus) string {
	switch {
	case t.Error != "":
		return fmt.Sprintf("%s: %s", cli.Counted(t.Failures, "failure"), t.Error)
	case t.Tokens == 0:
		return "none needed yet"
	}
	return fmt.Sprintf("%d, until %s", t.Tokens, cli.Clock(t.Expires))
}

func listed[T any](list []T, show func(T) string) string {
	if len(list) == 0 {
		return "nothing"
	}
	var lines []string
	for _, item := range list {
		lines = append(lines, show(item))
	}
	return strings.Join(lines, "\n              ")
}

func shownMap[T any](m map[string]T, show func(T) string) string {
	if len(m) == 0 {
		return "unknown: no worker answers on admin.listen"
	}
	return listed(slices.Sorted(maps.Keys(m)), func(name string) string { return name + ": " + show(m[name]) })
}
