package statuscmd

import (
	"fmt"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/overview"
)

const (
	// mostWaiting bounds the backlogs that are shown because they do not move, and mostMoving those
	// that do.
	mostWaiting = 10
	mostMoving  = 5
	// leastWhy is what the last column is left at least.
	leastWhy = 12
)

// backlogs shows the sources that have messages, those that do not move first, and sums up the rest.
func (s *screen) backlogs(o *overview.Overview) {
	if len(o.Backlogs) == 0 {
		return
	}
	waiting, moving := mostWaiting, mostMoving
	if s.height > 0 {
		left := max(2, s.height-len(s.lines)-5)
		waiting = min(waiting, left)
		moving = min(moving, max(0, left-min(waiting, len(o.Backlogs))))
	}
	var shown, rest []overview.Backlog
	for _, b := range o.Backlogs {
		bound := &waiting
		if b.Why.State == overview.Moving || b.Why.State == overview.Paced {
			bound = &moving
		}
		if *bound--; *bound >= 0 || s.all {
			shown = append(shown, b)
		} else {
			rest = append(rest, b)
		}
	}
	s.lines = append(s.lines, "")
	s.table(shown)
	if len(rest) > 0 {
		s.wrap("", "", summed(rest))
	}
}

// table has its last column cut to the width, and that of the sources shortened before that.
func (s *screen) table(backlogs []overview.Backlog) {
	head := [...]string{"source", "lane", "messages", "in hand", "oldest", "why"}
	rows := make([][len(head)]string, 0, len(backlogs))
	wide := [len(head)]int{}
	for i, h := range head {
		wide[i] = len(h)
	}
	for _, b := range backlogs {
		age := ""
		if b.Age > 0 {
			age = cli.Ago(b.Age)
		}
		row := [...]string{b.Source, sendOrRequest(b.Lane), strconv.FormatUint(b.Messages, 10), strconv.Itoa(b.InHand), age, cli.OneLine(shownWhy(b.Why))}
		for i, cell := range row {
			wide[i] = max(wide[i], text.StringWidth(cell))
		}
		rows = append(rows, row)
	}
	others := 0
	for i := 1; i < len(head)-1; i++ {
		others += wide[i] + 2
	}
	wide[0] = min(wide[0], max((s.room()-others)/2, 8))
	last := max(s.room()-others-wide[0]-2, leastWhy)
	line := func(row [len(head)]string) string {
		return fmt.Sprintf("%-*s  %-*s  %*s  %*s  %*s  %s", wide[0], cut(row[0], wide[0]), wide[1], row[1], wide[2], row[2], wide[3], row[3], wide[4], row[4], cut(row[5], last))
	}
	s.lines = append(s.lines, s.paint(text.Bold, line(head)))
	for i, row := range rows {
		drawn := line(row)
		if backlogs[i].Why.Blocked() {
			drawn = s.paint(text.FgRed, drawn)
		}
		s.lines = append(s.lines, drawn)
	}
}

// cut is a text in so many columns, with a mark where something is left out.
func cut(line string, wide int) string {
	if text.StringWidth(line) <= wide {
		return line
	}
	return text.Trim(line, wide-1) + "…"
}

func shownWhy(w overview.Why) string {
	switch {
	case w.Text != "":
		return w.Text
	case w.State == overview.Moving:
		return ""
	}
	return string(w.State)
}

// summed is a line for many backlogs.
func summed(backlogs []overview.Backlog) string {
	var messages uint64
	var oldest time.Duration
	sources, blocked, known := map[string]bool{}, 0, true
	for _, b := range backlogs {
		messages += b.Messages
		oldest, known = max(oldest, b.Age), known && b.Age > 0
		sources[b.Source] = true
		if b.Why.Blocked() {
			blocked++
		}
	}
	line := fmt.Sprintf("and %s more with %s", cli.Counted(len(sources), "source"), cli.Counted(messages, "message"))
	if known {
		line += ", oldest " + cli.Ago(oldest)
	}
	if blocked > 0 {
		line += fmt.Sprintf(", %d of them blocked", blocked)
	}
	return line + " (--all)"
}
