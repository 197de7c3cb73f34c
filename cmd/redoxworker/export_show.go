package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/bulkexport"
)

// exportProgress shows how far an export is: a bar on a terminal, elsewhere a line when it is ready.
type exportProgress struct {
	app   *cli.App
	bar   *cli.ProgressBar
	ready bool
}

func newExportProgress(a *cli.App) *exportProgress {
	return &exportProgress{app: a, bar: cli.NewProgressBar(a, 0, progress.UnitsDefault)}
}

// show is called by one goroutine at a time.
func (p *exportProgress) show(now bulkexport.Progress) {
	if now.Ready && !p.ready {
		p.ready = true
		p.bar.End(nil)
		p.bar = cli.NewProgressBar(p.app, int64(max(now.Files, 1)), progress.UnitsDefault)
		if p.bar == nil && !p.app.Globals.JSON {
			fmt.Fprintf(p.app.Stderr, "redoxworker: the export is ready: %d of %s are here\n", now.Done, cli.Counted(now.Files, "file"))
		}
	}
	if !now.Ready {
		text := "the server exports"
		if now.Says != "" {
			text += ": " + now.Says
		}
		p.bar.Show(0, text)
		return
	}
	p.bar.Show(int64(now.Done), fmt.Sprintf("%d of %s, %s", now.Done, cli.Counted(now.Files, "file"), progress.FormatBytes(now.Bytes)))
}

func (p *exportProgress) end(err error) { p.bar.End(err) }

// report prints what is there and answers how the command ends: a file that is not whole, and resources
// that the server could not export, are a failure, as are files that are missing.
func (x exportCommand) report(ctx context.Context, a *cli.App, r bulkexport.Result, err error) error {
	if a.Globals.JSON && (err == nil || r.TransactionTime != "") {
		if failed := json.NewEncoder(a.Stdout).Encode(r); failed != nil {
			return failed
		}
	} else if !a.Globals.JSON {
		if failed := printExport(a, r); failed != nil {
			return failed
		}
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(a.Stderr, "redoxworker: warning:", w)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("the export was stopped (%w); the same command goes on", context.Cause(ctx))
	case err != nil:
		return exportUsage(err)
	case !r.OK():
		return cli.ErrReported // by the warnings
	}
	return nil
}

// printExport prints a row for each file, and a summary to stderr.
func printExport(a *cli.App, r bulkexport.Result) error {
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	var lines, bytes int64
	for i, f := range r.Files {
		if i == 0 {
			fmt.Fprintln(w, "FILE\tKIND\tLINES\tBYTES")
		}
		lines, bytes = lines+f.Lines, bytes+f.Bytes
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\n", f.Name, f.Kind, f.Lines, f.Bytes)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Complete {
		fmt.Fprintf(a.Stderr, "redoxworker: complete: %s, %s, %s", cli.Counted(len(r.Files), "file"), cli.Counted(int(lines), "line"), progress.FormatBytes(bytes))
		if r.TransactionTime != "" {
			fmt.Fprintf(a.Stderr, "; the next one: --since %s", r.TransactionTime)
		}
		fmt.Fprintln(a.Stderr)
	}
	return nil
}
