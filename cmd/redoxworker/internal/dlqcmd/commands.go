// Package dlqcmd is the subcommand dlq: dead letters, browsed, sent again, corrected, discarded,
// exported and imported.
package dlqcmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/operate"
)

// Commands are about dead letters.
type Commands struct {
	Ls      lsCommand      `cmd:"" help:"List dead letters, or count them."`
	Show    showCommand    `cmd:"" help:"Show one dead letter: why, headers, history, sizes."`
	Replay  replayCommand  `cmd:"" help:"Send dead letters again."`
	Edit    editCommand    `cmd:"" help:"Send one dead letter again with a corrected body, in its place of the order."`
	Discard discardCommand `cmd:"" help:"Delete dead letters for good."`
	Export  exportCommand  `cmd:"" help:"Write dead letters to a file or standard output, one JSON object per line."`
	Import  importCommand  `cmd:"" help:"Bring dead letters back that were exported with --reveal."`
}

// deadFilter are the flags that select dead letters.
type deadFilter struct {
	Source     []string `placeholder:"NAME" help:"Only of these sources; _ is none."`
	Settlement []string `placeholder:"NAME" help:"Only rejected, expired, exhausted, held or poison."`
	Error      []string `sep:"none" placeholder:"TEXT" help:"Only whose error has this text, as ls --counts shows it."`
	Status     []string `placeholder:"N" help:"Only with this status of the last answer: 400, 4xx, none."`
	Kind       []string `placeholder:"NAME" help:"Only data-model, fhir, file or platform."`
	Model      []string `placeholder:"NAME" help:"Only of these data models."`
	Event      []string `placeholder:"NAME" help:"Only of these event types."`
	OrderToken []string `name:"order-token" placeholder:"TOKEN" help:"Only of these order tokens."`
	Replays    int      `placeholder:"N" help:"Only what was replayed N times or more."`
	Since      cli.Past `placeholder:"WHEN" help:"Settled then or later: a time (RFC 3339) or so long ago (90m, 3d)."`
	Until      cli.Past `placeholder:"WHEN" help:"Settled before then."`
}

func (f deadFilter) empty() bool {
	return len(f.Source)+len(f.Settlement)+len(f.Error)+len(f.Status)+len(f.Kind)+len(f.Model)+len(f.Event)+len(f.OrderToken)+f.Replays == 0 &&
		f.Since.IsZero() && f.Until.IsZero()
}

func (f deadFilter) withoutSource() deadFilter {
	f.Source = nil
	return f
}

func (f deadFilter) query() (dlq.Query, error) {
	q := dlq.Query{Sources: f.Source, Errors: f.Error, Statuses: f.Status, DataModels: f.Model, EventTypes: f.Event, OrderTokens: f.OrderToken,
		Replays: f.Replays, Since: f.Since.Time, Until: f.Until.Time}
	for _, k := range f.Kind {
		q.Kinds = append(q.Kinds, outbox.Kind(k))
	}
	for _, s := range f.Settlement {
		q.Settlements = append(q.Settlements, outbox.Settlement(s))
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return q, cli.Usagef("--until: it is not after --since; nothing lies between")
	}
	if err := q.Validate(); err != nil {
		return q, cli.Usagef("%w", err)
	}
	return q, nil
}

// deadChoice are the arguments and flags that say which dead letters are to go.
type deadChoice struct {
	deadFilter
	IDs    []string `arg:"" optional:"" name:"id" sep:"none" help:"Message ids."`
	All    bool     `help:"All of them, as far as the other flags select them."`
	DryRun bool     `name:"dry-run" help:"Show what would be done and change nothing."`
	Force  bool     `help:"Do not ask. Needed where there is no terminal."`
	cli.Why
}

func (c deadChoice) query() (dlq.Query, error) {
	switch {
	case len(c.IDs) > 0 && (c.All || !c.withoutSource().empty()):
		return dlq.Query{}, cli.Usagef("id: message ids go without --all and the flags that select, but for --source")
	case len(c.IDs) == 0 && !c.All && c.empty():
		return dlq.Query{}, cli.Usagef("id: missing; name message ids, flags that select, or --all")
	}
	q, err := c.deadFilter.query()
	q.IDs = c.IDs
	return q, err
}

// graveyard is an open connection to the dead letters.
type graveyard struct {
	*dlq.Store
	*cli.Session
	desk *operate.Desk // what it does leaves an entry in the audit trail
}

// openDeadLetters needs neither keys nor sources, only NATS.
func openDeadLetters(ctx context.Context, a *cli.App) (*graveyard, error) {
	q, err := a.OpenSession(ctx, cli.NATSOnly)
	if err != nil {
		return nil, err
	}
	desk, letters, err := q.Desk()
	if err != nil {
		q.Close()
		return nil, err
	}
	return &graveyard{letters, q, desk}, nil
}

// choose finds what is to be changed and asks. missing are ids without a dead letter.
func (c deadChoice) choose(ctx context.Context, a *cli.App, g *graveyard, q dlq.Query, verb string) (s dlq.Selection, missing []string, err error) {
	if s, err = g.Select(ctx, q); err != nil {
		return s, nil, err
	}
	warnUnreadable(a, s.Unreadable)
	if shared := s.Shared(c.IDs); shared != nil && len(c.Source) == 0 {
		return s, nil, sharedID(shared)
	}
	missing = s.Missing(c.IDs)
	for _, id := range missing {
		fmt.Fprintln(a.Stderr, "redoxworker:", noDeadLetter(id, c.Source...))
	}
	return s, missing, a.Confirm(ctx, cli.Counted(s.Len(), "dead letter")+" would be "+verb, c.Force || c.DryRun || s.Len() == 0)
}

// change finds the dead letters that q selects, asks, and lets do change them. verb is what
// it does to them.
func (c deadChoice) change(ctx context.Context, a *cli.App, q dlq.Query, verb string, do func(*graveyard, dlq.Selection, *deadRun) error) error {
	g, err := openDeadLetters(ctx, a)
	if err != nil {
		return err
	}
	defer g.Close()
	s, missing, err := c.choose(ctx, a, g, q, verb)
	if err != nil {
		return err
	}
	r := newDeadRun(a, s.Len(), c.DryRun, verb)
	return r.result(ctx, do(g, s, r), len(missing))
}

// sharedID asks for the flag that says which message is meant.
func sharedID(err error) error { return cli.Usagef("id: %w with --source", err) }

// noDeadLetter says that there is none of a message, in the sources that were asked for.
func noDeadLetter(id string, sources ...string) error {
	of := ""
	if len(sources) > 0 {
		of = " of source " + strings.Join(sources, " or ")
	}
	return fmt.Errorf("no dead letter of message %s%s", cli.Printable(id), of)
}

func warnUnreadable(a *cli.App, n int) {
	if n > 0 {
		fmt.Fprintf(a.Stderr, "redoxworker: warning: %s in the stream that no worker wrote; look with dlq ls, and delete them with the nats command\n", cli.Counted(n, "message"))
	}
}
