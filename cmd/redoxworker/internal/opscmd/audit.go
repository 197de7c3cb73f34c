package opscmd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/audit"
)

// AuditCommand is about the audit trail.
type AuditCommand struct {
	Ls auditLsCommand `cmd:"" default:"withargs" help:"What operators did: who, when, what and why; with --settlements also what became of messages."`
}

// auditLsCommand lists entries.
type auditLsCommand struct {
	Source      string   `placeholder:"NAME" help:"Only what concerns this source."`
	Action      []string `placeholder:"NAME" help:"Only replay, discard, reveal, edit, export, import, pause, resume, hold, release, move, dead-letter, source.add, source.set, source.rm, outbox.retry, outbox.discard, seal.rotate, seal.rewrap or seal.shred."`
	By          string   `placeholder:"NAME" help:"Only what was done by somebody whose name has this part."`
	ID          string   `name:"id" placeholder:"ID" help:"Only what concerns this message."`
	Since       cli.Past `placeholder:"WHEN" help:"Then or later: a time (RFC 3339) or so long ago (90m, 3d)."`
	Until       cli.Past `placeholder:"WHEN" help:"Before then."`
	Settlements bool     `help:"With an entry for each settlement, where audit.stream keeps them."`
	Follow      bool     `short:"f" help:"Go on with what is done later."`
	Limit       int      `default:"50" placeholder:"N" help:"The last N of them; 0 means all. Default: ${default}."`
}

// Run prints entries in the order in which they were stored.
func (c auditLsCommand) Run(ctx context.Context, a *cli.App) error {
	q := audit.Query{Source: c.Source, By: c.By, Message: c.ID, Since: c.Since.Time, Until: c.Until.Time, Settlements: c.Settlements}
	for _, action := range c.Action {
		if !slices.Contains(audit.Actions(), audit.Action(action)) {
			return cli.Usagef("--action: %q is none; see redoxworker audit ls --help", action)
		}
		q.Actions = append(q.Actions, audit.Action(action))
	}
	if c.Limit < 0 {
		return cli.Usagef("--limit %d: use 1 or more, or 0 for all", c.Limit)
	}
	if c.Source != "" && c.Source != contract.NoSource {
		if err := contract.CheckSource(c.Source); err != nil {
			return cli.Usagef("--source: %w", err)
		}
	}
	s, err := a.OpenSession(ctx, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer s.Close()
	reader := audit.NewReader(s.JS, s.Prefix)
	last, err := c.last(ctx, reader, q)
	if err != nil {
		return s.Explain(err)
	}
	out := &auditRows{app: a}
	for _, l := range last.Lines() {
		if err := out.print(l); err != nil {
			return err
		}
	}
	if out.end(); !c.Follow {
		if len(last.Lines()) == 0 && !a.Globals.JSON {
			fmt.Fprintln(a.Stderr, "no entries")
		}
		return nil
	}
	return c.follow(ctx, a, reader, q, last.After())
}

// last reads through the entries and keeps the last ones.
func (c auditLsCommand) last(ctx context.Context, reader *audit.Reader, q audit.Query) (*audit.Tail, error) {
	tail := audit.NewTail(c.Limit)
	for r, err := range reader.List(ctx, q) {
		if err != nil {
			return nil, err
		}
		tail.Add(r)
	}
	return tail, nil
}

// follow prints what is stored after the last ones, as it comes.
func (c auditLsCommand) follow(ctx context.Context, a *cli.App, reader *audit.Reader, q audit.Query, after uint64) error {
	q.Follow, q.After = true, after
	for r, err := range reader.List(ctx, q) {
		if err != nil {
			return err
		}
		out := &auditRows{app: a, plain: true}
		if err := out.print(&audit.Line{Record: r}); err != nil {
			return err
		}
	}
	return nil
}

// auditRows prints entries: JSON lines when asked for, a table on a terminal, two lines to an entry on a
// narrow one, columns between tabs elsewhere.
type auditRows struct {
	app   *cli.App
	plain bool // lines on a terminal as well
	table table.Writer
}

// wideAudit is the width of a terminal that has room for all columns and a text.
const wideAudit = 120

func (o *auditRows) print(l *audit.Line) error {
	if o.app.Globals.JSON {
		return cli.EncodeAll(o.app, l.Records())
	}
	cells := auditCells(l)
	if o.plain || !cli.IsTerminal(o.app.Stdout) {
		for i := range cells {
			cells[i] = cli.OneLine(cells[i])
		}
		_, err := fmt.Fprintln(o.app.Stdout, strings.Join(cells, "\t"))
		return err
	}
	if width := o.app.Width(); width < wideAudit {
		what := strings.ReplaceAll(text.WrapSoft(cli.OneLine(cells[5]), width-4), "\n", "\n    ")
		_, err := fmt.Fprintf(o.app.Stdout, "%s\n    %s\n", strings.Join(slices.DeleteFunc(cells[:5], func(cell string) bool { return cell == "" }), "  "), what)
		return err
	}
	if o.table == nil {
		o.table = o.app.NewTable()
		o.table.AppendHeader(table.Row{"at", "by", "action", "source", "outcome", "what"})
	}
	row := table.Row{}
	for _, cell := range cells {
		row = append(row, cell)
	}
	o.table.AppendRow(row)
	return nil
}

func (o *auditRows) end() {
	if o.table != nil {
		o.app.Printf("%s\n", o.app.Fitted(o.table, 6))
	}
}

// auditCells is an entry in the columns of a table.
func auditCells(l *audit.Line) []string {
	if e := l.Entry; e != nil {
		what := "message " + cli.Printable(e.Message)
		if e.Error != "" {
			what += ": " + e.Error
		}
		return []string{cli.Clock(e.Time), e.Worker, string(e.Settlement), e.Source, "", what}
	}
	d := l.Deed
	outcome := d // an entry by itself
	switch {
	case d.Outcome != "":
	case l.Outcome != nil:
		outcome = l.Outcome.Deed
	default:
		outcome = &audit.Deed{Outcome: "begun"} // it is under way, or whoever did it was killed
	}
	return []string{cli.Clock(d.Time), cli.Printable(d.By), string(d.Action), d.Source, string(outcome.Outcome), deedText(d, outcome)}
}

// deedText says what was done and what came of it.
func deedText(d, outcome *audit.Deed) string {
	var what []string
	add := func(text string) {
		if text != "" {
			what = append(what, text)
		}
	}
	if d.Part > 0 {
		add(fmt.Sprint("part ", d.Part, " of the messages"))
	}
	if d.Count > 0 {
		add(cli.Counted(d.Count, "message"))
	}
	if d.Count == 1 {
		for _, ids := range d.IDs {
			add(cli.Printable(ids[0]))
		}
	} else {
		add(d.Filter)
	}
	add(d.Detail)
	if len(d.After) > 0 {
		add("now " + string(d.After))
	}
	text := strings.Join(what, ", ")
	if d.Reason != "" {
		text += " (" + d.Reason + ")"
	}
	if d.Outcome == "" && d.Count < 2 && outcome.Outcome == audit.Done {
		return text // the one thing was done
	}
	var came []string
	for _, name := range slices.Sorted(maps.Keys(outcome.Counts)) {
		came = append(came, fmt.Sprint(outcome.Counts[name], " ", name))
	}
	if outcome.Error != "" {
		came = append(came, outcome.Error)
	}
	if len(came) > 0 && text != "" {
		text += ": "
	}
	return text + strings.Join(came, ", ")
}
