package statuscmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// Workers is the command that lists the workers that run.
type Workers struct{}

// Run asks them.
func (Workers) Run(ctx context.Context, a *cli.App) error {
	q, err := a.OpenSession(ctx, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer q.Close()
	g, err := gatherer(q)
	if err != nil {
		return err
	}
	workers, silent, err := g.Workers(ctx)
	if err != nil {
		return fmt.Errorf("asking the workers: %w", q.Explain(err))
	}
	if a.Globals.JSON {
		if err := cli.EncodeAll(a, workers); err != nil {
			return err
		}
	} else if len(workers) > 0 {
		a.Printf("%s\n", a.Fitted(workerTable(a, workers), 7))
	}
	switch {
	case silent > 0:
		fmt.Fprintf(a.Stderr, "%s that had a share of the limit a moment ago did not answer: gone, or it hangs\n", cli.Counted(silent, "worker"))
	case len(workers) == 0:
		fmt.Fprintln(a.Stderr, "no worker runs")
	}
	return nil
}

func workerTable(a *cli.App, workers []overview.Worker) table.Writer {
	t := a.NewTable()
	t.AppendHeader(table.Row{"worker", "version", "since", "sources", "in flight", "keys", "state"})
	for _, w := range workers {
		id := w.ID
		if w.Host != "" && !strings.HasPrefix(w.ID, w.Host) {
			id += " on " + w.Host
		}
		t.AppendRow(table.Row{id, w.Version, cli.Ago(time.Since(w.Since)) + " ago", w.Status.Sources, fmt.Sprintf("%d of %d", w.Status.InFlight, w.Status.Concurrency), workerKeys(w.Keys), workerState(w)})
	}
	return t
}

func workerKeys(keys []overview.Key) string {
	bad := 0
	for _, k := range keys {
		if k.Paused || !k.Usable {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Sprintf("%d of %d bad", bad, len(keys))
	}
	return fmt.Sprintf("%d ok", len(keys))
}

func workerState(w overview.Worker) string {
	state := "ready"
	switch {
	case w.Draining:
		state = "draining"
	case !w.Ready:
		state = "not ready"
	}
	if w.ByHand > 0 {
		state += fmt.Sprintf(", %d paused by operators", w.ByHand)
	}
	if n := len(w.Problems); n > 0 {
		state += ", " + cli.Counted(n, "problem") + ": " + w.Problems[0]
	}
	return state
}
