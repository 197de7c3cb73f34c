package sqlcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/worker/audit"
)

// failedCommand is about rows that cannot be published.
type failedCommand struct {
	Ls      failedLsCommand      `cmd:"" help:"List them, oldest first."`
	Retry   failedRetryCommand   `cmd:"" help:"Put them back into the table, before the later ones of their order key. The audit trail has an entry first."`
	Discard failedDiscardCommand `cmd:"" help:"Delete them for good. The audit trail has an entry first."`
}

// failedLsCommand lists failed rows.
type failedLsCommand struct {
	Limit int `placeholder:"N" help:"The first N only. Default: all."`
}

// Run prints a row a line.
func (c failedLsCommand) Run(ctx context.Context, a *cli.App) error {
	if c.Limit < 0 {
		return cli.Usagef("--limit: %d; use 1 or more", c.Limit)
	}
	b, err := open(a, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer func() { _ = b.db.Close() }()
	rows, err := b.Failed(ctx, b.db, c.Limit)
	if err != nil {
		return err
	}
	if a.Globals.JSON {
		encoder := json.NewEncoder(a.Stdout)
		for _, row := range rows {
			if err := encoder.Encode(row); err != nil {
				return err
			}
		}
		return nil
	}
	if len(rows) == 0 {
		fmt.Fprintln(a.Stderr, "no failed rows")
		return nil
	}
	t := a.NewTable()
	t.AppendHeader(table.Row{"id", "source", "at", "bytes", "why"})
	for _, row := range rows {
		t.AppendRow(table.Row{row.ID, row.Source, cli.Clock(row.FailedAt), row.Bytes, row.Failed})
	}
	a.Printf("%s\n", a.Fitted(t, 5))
	return nil
}

// failedChoice says which rows are changed.
type failedChoice struct {
	IDs    []string `arg:"" name:"id" sep:"none" help:"Message ids."`
	Source string   `help:"Of this source. Needed where several sources have a failed row of an id."`
	Force  bool     `help:"Do not ask. Needed where there is no terminal."`
	cli.Why
}

// failedChange is what is done to rows.
type failedChange struct {
	action     audit.Action
	verb, done string
	one        func(ctx context.Context, b *box, source, id string) error
}

// each asks, has the audit trail keep what is about to be done, and changes one row after the other.
func (c failedChoice) each(ctx context.Context, a *cli.App, change failedChange) error {
	b, err := open(a, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer func() { _ = b.db.Close() }()
	if err := a.Confirm(ctx, cli.Counted(len(c.IDs), "failed row")+" would be "+change.verb, c.Force); err != nil {
		return err
	}
	sources, err := c.sources(ctx, b)
	if err != nil {
		return err
	}
	end, err := c.begin(ctx, a, b, change.action, sources)
	if err != nil {
		return err
	}
	done, err := c.all(ctx, a, b, change, sources)
	result := audit.Result{Err: err}
	if done > 0 {
		result.Counts = map[string]int{change.done: done}
	}
	return errors.Join(err, end(result))
}

// all changes one row after the other, until it is interrupted, and says how many it changed.
func (c failedChoice) all(ctx context.Context, a *cli.App, b *box, change failedChange, sources map[string][]string) (done int, err error) {
	for _, id := range c.IDs {
		err := ctx.Err()
		if err == nil {
			err = c.change(ctx, b, change, sources[id], id)
		}
		switch {
		case err == nil:
			done++
			a.Printf("%s\t%s\n", id, change.done)
		case ctx.Err() != nil:
			return done, fmt.Errorf("interrupted: %d of %s were %s", done, cli.Counted(len(c.IDs), "row"), change.done)
		default:
			fmt.Fprintf(a.Stderr, "redoxworker: %q: %v\n", id, err)
		}
	}
	if failed := len(c.IDs) - done; failed > 0 {
		return done, fmt.Errorf("%d of %s failed", failed, cli.Counted(len(c.IDs), "row"))
	}
	return done, nil
}

func (c failedChoice) change(ctx context.Context, b *box, change failedChange, sources []string, id string) error {
	switch len(sources) {
	case 0:
		return sqloutbox.ErrNoFailedRow
	case 1:
		return change.one(ctx, b, sources[0], id)
	}
	return sqloutbox.ErrSeveralSources
}

// idsAtOnce is how many ids one statement looks for.
const idsAtOnce = 1024

// sources of the rows that were chosen, by id.
func (c failedChoice) sources(ctx context.Context, b *box) (map[string][]string, error) {
	q := sqloutbox.FailedQuery{}
	if c.Source != "" {
		q.Sources = []string{c.Source}
	}
	sources := make(map[string][]string)
	for q.IDs = range slices.Chunk(c.IDs, idsAtOnce) {
		rows, err := b.FailedRows(ctx, b.db, q)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if !slices.Contains(sources[row.ID], row.Source) {
				sources[row.ID] = append(sources[row.ID], row.Source)
			}
		}
	}
	return sources, nil
}

// begin has the audit trail keep the deed, where there is one: no row is changed without. end is called with
// what came of it.
func (c failedChoice) begin(ctx context.Context, a *cli.App, b *box, action audit.Action, sources map[string][]string) (end func(audit.Result) error, err error) {
	d := audit.Deed{Action: action, IDs: make(map[string][]string), Reason: c.Reason}
	for id, of := range sources {
		if len(of) == 1 {
			d.IDs[of[0]], d.Source = append(d.IDs[of[0]], id), of[0]
			d.Count++
		}
	}
	if d.Count == 0 {
		return func(audit.Result) error { return nil }, nil
	}
	if len(d.IDs) > 1 {
		d.Source = ""
	}
	s, err := a.Connect(ctx, b.config)
	if err != nil {
		return nil, fmt.Errorf("nothing was done: %w", err)
	}
	record, err := s.Recorder()
	if err == nil {
		var begun *audit.Begun
		if begun, err = record.Begin(ctx, d); err == nil {
			return func(r audit.Result) error { defer s.Close(); return begun.End(ctx, r) }, nil
		}
	}
	s.Close()
	return nil, err
}

// failedRetryCommand puts rows back.
type failedRetryCommand struct{ failedChoice }

// Run puts the rows back into the table, where a relay finds them.
func (c failedRetryCommand) Run(ctx context.Context, a *cli.App) error {
	return c.each(ctx, a, failedChange{audit.RowRetry, "published again", "put back", func(ctx context.Context, b *box, source, id string) error {
		return b.Retry(ctx, b.db, source, id)
	}})
}

// failedDiscardCommand deletes rows.
type failedDiscardCommand struct{ failedChoice }

// Run deletes the rows.
func (c failedDiscardCommand) Run(ctx context.Context, a *cli.App) error {
	return c.each(ctx, a, failedChange{audit.RowDiscard, "deleted for good", "deleted", func(ctx context.Context, b *box, source, id string) error {
		return b.Discard(ctx, b.db, source, id)
	}})
}
