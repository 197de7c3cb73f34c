package dlqcmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// lsCommand lists dead letters.
type lsCommand struct {
	deadFilter
	ID     []string `name:"id" sep:"none" placeholder:"ID" help:"Only of these messages."`
	Counts bool     `help:"Count them by source, settlement and reason."`
	By     string   `default:"source,settlement,reason" placeholder:"WHAT" help:"What to count them by: any of source, settlement, reason, status, kind, model, event. Default: ${default}."`
	Limit  *int     `placeholder:"N" help:"N of them only; 0 means all. Default: 50 on a terminal, elsewhere all; of counts 20 and all."`
	Before uint64   `placeholder:"N" help:"Only what was stored before the dead letter of this number: the next page."`
	Oldest bool     `help:"The oldest first."`
}

const (
	shownRows   = 50
	shownCounts = 20
	// pageOf is how many dead letters are read at once where all are wanted.
	pageOf = 1000
)

// Run prints dead letters, the newest first.
func (c lsCommand) Run(ctx context.Context, a *cli.App) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	switch {
	case c.Limit != nil && *c.Limit < 0:
		return cli.Usagef("--limit: %d; use 1 or more, or 0 for all", *c.Limit)
	case c.Oldest && c.Before > 0:
		return cli.Usagef("--before goes with the newest first, not with --oldest; use --since")
	}
	q.IDs = c.ID
	g, err := openDeadLetters(ctx, a)
	if err != nil {
		return err
	}
	defer g.Close()
	if c.Counts {
		return c.count(ctx, a, g, q)
	}
	q.Models = true
	found, err := c.list(ctx, a, g, q)
	if err != nil {
		return err
	}
	return missingIDs(a, c.ID, found, c.Source)
}

// missingIDs fails where a message was asked for that has no dead letter.
func missingIDs(a *cli.App, ids []string, found map[string]bool, sources []string) error {
	missing := false
	for _, id := range ids {
		if !found[id] {
			missing = true
			fmt.Fprintln(a.Stderr, "redoxworker:", noDeadLetter(id, sources...))
		}
	}
	if missing {
		return cli.ErrReported
	}
	return nil
}

// limit is how many rows to print at most; 0 means all.
func (c lsCommand) limit(a *cli.App, onTerminal int) int {
	switch {
	case c.Limit != nil:
		return *c.Limit
	case cli.IsTerminal(a.Stdout) && !a.Globals.JSON:
		return onTerminal
	}
	return 0
}

func (c lsCommand) list(ctx context.Context, a *cli.App, g *graveyard, q dlq.Query) (found map[string]bool, err error) {
	out := newDeadRows(a)
	limit, n := c.limit(a, shownRows), 0
	found = map[string]bool{}
	print := func(l dlq.Stored) (more bool, err error) {
		if len(c.ID) > 0 {
			found[l.MessageID] = true
		}
		n++
		return n != limit, out.print(newDeadRow(l))
	}
	next := uint64(0)
	if c.Oldest {
		err = oldestFirst(ctx, a, g, q, print)
	} else {
		next, err = newestFirst(ctx, a, g, q, dlq.PageOptions{Limit: limit, Before: c.Before}, print)
	}
	if err != nil {
		return nil, err
	}
	if n == 0 && !a.Globals.JSON && len(c.ID) == 0 {
		fmt.Fprintln(a.Stderr, "no dead letters")
	}
	if err := out.end(); err != nil {
		return nil, err
	}
	if next > 0 {
		fmt.Fprintf(a.Stderr, "there may be older ones: --before %d\n", next)
	}
	return found, nil
}

func oldestFirst(ctx context.Context, a *cli.App, g *graveyard, q dlq.Query, print func(dlq.Stored) (bool, error)) error {
	for l, err := range g.List(ctx, q) {
		if errors.As(err, new(*dlq.UnreadableError)) {
			fmt.Fprintln(a.Stderr, "redoxworker: warning:", err)
			continue
		}
		if err != nil {
			return err
		}
		if more, err := print(l); err != nil || !more {
			return err
		}
	}
	return nil
}

// newestFirst reads page by page and returns the cursor of what was left out.
func newestFirst(ctx context.Context, a *cli.App, g *graveyard, q dlq.Query, o dlq.PageOptions, print func(dlq.Stored) (bool, error)) (next uint64, err error) {
	if o.Limit == 0 || o.Limit > pageOf {
		o.Limit = pageOf
	}
	for {
		page, err := g.Page(ctx, q, o)
		if err != nil {
			return 0, err
		}
		for _, u := range page.Unreadable {
			fmt.Fprintln(a.Stderr, "redoxworker: warning:", u)
		}
		for i, l := range page.Letters {
			more, err := print(l)
			if err != nil {
				return 0, err
			}
			if !more {
				if i == len(page.Letters)-1 {
					return page.Next, nil
				}
				return l.DeadSequence, nil
			}
		}
		if page.Next == 0 {
			return 0, nil
		}
		o.Before = page.Next
	}
}
