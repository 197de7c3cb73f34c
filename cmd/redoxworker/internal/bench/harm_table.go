package bench

import (
	"fmt"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/service"
)

// harmResult is what came of one harm.
type harmResult struct {
	Harm    string    `json:"harm"`
	Sources int       `json:"sources"`
	Before  harmLanes `json:"before"`
	During  harmLanes `json:"during"`
	// Readyz and Status are the lines of /readyz and of `redoxworker status` that named it; Silent
	// says that they need not.
	Readyz string `json:"readyz"`
	Status string `json:"status"`
	Silent bool   `json:"silent,omitempty"`
	// Drained is how long it took after the harm until everything was settled.
	Drained float64 `json:"drained_seconds"`
	// Of all messages, those of the source in trouble included:
	Published  int `json:"published"`
	Delivered  int `json:"delivered"`
	Dead       int `json:"not_delivered"` // refused for good, which the harm may be
	Lost       int `json:"lost"`
	Doubled    int `json:"doubled"`
	Disordered int `json:"disordered"`
}

// harmLanes are the latencies of the sources that are not in trouble.
type harmLanes struct {
	Sends    sceneLatency `json:"sends"`
	Requests sceneLatency `json:"requests"`
}

// kept reports whether the harm was told, nothing was lost, and nobody else failed to deliver.
func (r harmResult) kept() bool {
	told := r.Silent || r.Readyz != "" && r.Status != ""
	return told && r.Lost+r.Doubled+r.Disordered == 0 && r.During.Sends.Missing+r.During.Requests.Missing == 0
}

// change is the p99 during the harm against that before.
func change(before, during sceneLatency) string {
	if before.P99 == 0 || during.Missing > 0 {
		return fmt.Sprintf("%d late", during.Missing)
	}
	return fmt.Sprintf("%+.0f %%", 100*(during.P99/before.P99-1))
}

// toldByReadyz are the troubles that a worker tells of, a line for each.
func toldByReadyz(state service.Status) (lines []string) {
	lines = append(lines, state.Problems...)
	for _, p := range state.Worker.Pauses {
		lines = append(lines, cli.ShownPause(p))
	}
	for _, slow := range state.Worker.Slow {
		lines = append(lines, cli.ShownSlow(slow))
	}
	for _, b := range state.Worker.Backlog {
		lines = append(lines, fmt.Sprintf("%s: %d messages wait", b.Source, b.Messages))
	}
	for source, why := range state.Worker.Unanswered {
		lines = append(lines, source+": "+why)
	}
	for source, n := range state.Worker.Narrowed {
		lines = append(lines, fmt.Sprintf("%s narrowed to %d", source, n))
	}
	slices.Sort(lines)
	return lines
}

// harmTable shows results to a person.
func harmTable(results []harmResult) string {
	t := newTable()
	t.AppendHeader(table.Row{"sources", "harm", "SEND p99 ms", "during", "", "REQUEST p99 ms", "during", "", "published", "delivered", "dead", "lost", "doubled", "disordered", "drained s"})
	columns := numbers(15)
	columns[1].Align, columns[1].AlignHeader = text.AlignLeft, text.AlignLeft
	t.SetColumnConfigs(columns)
	for _, r := range results {
		t.AppendRow(table.Row{r.Sources, r.Harm,
			fmt.Sprintf("%.1f", r.Before.Sends.P99), fmt.Sprintf("%.1f", r.During.Sends.P99), change(r.Before.Sends, r.During.Sends),
			fmt.Sprintf("%.1f", r.Before.Requests.P99), fmt.Sprintf("%.1f", r.During.Requests.P99), change(r.Before.Requests, r.During.Requests),
			r.Published, r.Delivered, r.Dead, r.Lost, r.Doubled, r.Disordered, fmt.Sprintf("%.0f", r.Drained)})
	}
	out := t.Render()
	for _, r := range results {
		out += fmt.Sprintf("\n\n%d, %s\n  /readyz  %s\n  status   %s", r.Sources, r.Harm, saidOr(r.Readyz, r.Silent), saidOr(r.Status, r.Silent))
	}
	return out
}

func saidOr(line string, silent bool) string {
	switch {
	case line != "":
		return line
	case silent:
		return "nothing, as is right"
	}
	return "NOTHING"
}
