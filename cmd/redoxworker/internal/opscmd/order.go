package opscmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	wrap "github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/order"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// OrderCommand is about ordered messages: those of one token wait for its first message.
type OrderCommand struct {
	Ls      orderLsCommand      `cmd:"" default:"withargs" help:"The messages that others of their order wait behind, and why."`
	Hold    orderHoldCommand    `cmd:"" help:"Have the first message of an order settled held, so that those behind it go on."`
	Held    orderHeldCommand    `cmd:"" help:"Order tokens that wait behind a dead letter (order.after_dead_letter: hold)."`
	Release orderReleaseCommand `cmd:"" help:"Let an order token go on whose dead letters are gone."`
}

// orderLsCommand lists heads.
type orderLsCommand struct {
	Source string `placeholder:"NAME" help:"Only of this source."`
	All    bool   `help:"Those that nothing waits behind, too."`
	Limit  int    `default:"100" placeholder:"N" help:"At most so many, those with most messages first; 0 means all."`
}

// Run prints the order tokens that hold messages, and the message that each of them waits for.
func (c orderLsCommand) Run(ctx context.Context, a *cli.App) error {
	if c.Limit < 0 {
		return cli.Usagef("--limit %d: use 1 or more, or 0 for all", c.Limit)
	}
	if err := cli.CheckSource(c.Source); err != nil {
		return err
	}
	q, err := a.OpenSession(ctx, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer q.Close()
	messages := uint64(2)
	if c.All {
		messages = 1
	}
	g, err := overview.New(q.JS, overview.Config{Prefix: q.Prefix, Explain: q.Explain})
	if err != nil {
		return err
	}
	heads, err := g.Heads(ctx, c.Source, messages, c.Limit)
	if err != nil {
		return q.Explain(err)
	}
	if a.Globals.JSON {
		return cli.EncodeAll(a, heads)
	}
	if len(heads) == 0 {
		fmt.Fprintln(a.Stderr, "no message waits behind another of its order")
		return nil
	}
	printHeads(a, heads)
	return nil
}

// wideOrder is the width of a terminal that has room for all columns and a text.
const wideOrder = 130

// printHeads prints a table, or on a narrow terminal two lines to a head.
func printHeads(a *cli.App, heads []overview.Head) {
	if width := a.Width(); width > 0 && width < wideOrder {
		for _, s := range heads {
			h := &s.Head
			a.Printf("%s  %s  %s  %s\n", s.Source, cli.Printable(h.ID), cli.Counted(s.Messages, "message"), s.Token)
			text := fmt.Sprintf("stored %s ago, %s: %s", cli.Ago(time.Since(h.Stored)), cli.Counted(h.Attempts, "attempt"), headState(&s))
			if next := nextTry(h); next != "" {
				text += ", tried again " + next
			}
			a.Printf("    %s\n", strings.ReplaceAll(wrap.WrapSoft(cli.OneLine(text), width-4), "\n", "\n    "))
		}
		return
	}
	t := a.NewTable()
	t.AppendHeader(table.Row{"source", "order token", "messages", "waits for", "stored", "attempts", "next try", "state"})
	for _, s := range heads {
		h := &s.Head
		stored := cli.Clock(h.Stored)
		if a.Width() > 0 {
			stored = cli.Ago(time.Since(h.Stored)) + " ago"
		}
		t.AppendRow(table.Row{s.Source, s.Token, s.Messages, cli.Printable(h.ID), stored, h.Attempts, nextTry(h), headState(&s)})
	}
	a.Printf("%s\n", a.Fitted(t, 8))
}

// headState is what a head is doing, or why it waits.
func headState(h *overview.Head) string {
	state := h.Head.State
	switch {
	case h.By != "":
		state += " by " + h.By
	case h.Why.Text != "" && (h.Why.State != overview.Retrying || h.Why.Scope != ""): // when is told beside it
		state = h.Why.Text
	}
	if h.Head.ByHand {
		state += ", to be held"
	}
	if h.Head.Error != "" && !strings.Contains(state, h.Head.Error) {
		state += "; last: " + h.Head.Error
	}
	return state
}

func nextTry(h *order.Head) string {
	if h.Next.IsZero() {
		return ""
	}
	return "in " + time.Until(h.Next).Round(time.Second).String()
}

// orderHoldCommand settles a head by hand.
type orderHoldCommand struct {
	ID     string `arg:"" help:"Message id, as order ls shows it."`
	Source string `required:"" placeholder:"NAME" help:"Source of the message."`
	Force  bool   `help:"Do not ask. Needed where there is no terminal."`
	cli.Why
}

// Run notes the decision; a worker carries it out.
func (c orderHoldCommand) Run(ctx context.Context, a *cli.App) error {
	if err := cli.CheckSource(c.Source); err != nil {
		return err
	}
	q, err := openDesk(ctx, a)
	if err != nil {
		return err
	}
	defer q.Close()
	if err := a.Confirm(ctx, "message "+cli.Printable(c.ID)+" would be settled held, without another attempt", c.Force); err != nil {
		return err
	}
	state, err := q.Hold(ctx, c.Source, c.ID, c.Reason)
	if err != nil {
		return q.Explain(err)
	}
	if state.Head.ByHand = true; a.Globals.JSON {
		return cli.EncodeAll(a, []order.State{state})
	}
	when := map[string]string{
		order.Waiting: "a worker settles it now",
		order.Queued:  "the next worker that takes it settles it",
		order.Sending: "a worker settles it when the attempt under way has failed; if that succeeds, it is delivered",
	}[state.Head.State]
	a.Printf("%s of %s is to be held: %s\n", cli.Printable(c.ID), c.Source, when)
	return nil
}

// orderHeldCommand lists held tokens.
type orderHeldCommand struct{}

// Run prints every order token that waits behind dead letters, and the places of the first and
// the last of these in the queue: the "sequence" of `dlq ls --json`.
func (orderHeldCommand) Run(ctx context.Context, a *cli.App) error {
	q, err := a.OpenSession(ctx, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer q.Close()
	held, err := dlq.NewHeldTokens(q.JS, q.Prefix).List(ctx)
	if err != nil {
		return q.Explain(err)
	}
	if a.Globals.JSON {
		return cli.EncodeAll(a, held)
	}
	if len(held) == 0 {
		fmt.Fprintln(a.Stderr, "no order token waits behind a dead letter")
		return nil
	}
	t := a.NewTable()
	t.AppendHeader(table.Row{"source", "order token", "first", "last", "since"})
	for _, h := range held {
		row := table.Row{h.Source, h.Token, h.First, h.Last, cli.Clock(h.Since)}
		switch {
		case h.Damaged:
			row[2], row[3] = "unknown: the note is damaged", ""
		case h.First == 0:
			row[2] = fmt.Sprint("after ", h.Through)
		}
		t.AppendRow(row)
	}
	a.Printf("%s\n", a.Fitted(t, 5))
	return nil
}

// orderReleaseCommand releases a held token.
type orderReleaseCommand struct {
	Source string `required:"" placeholder:"NAME" help:"Source of the token."`
	Token  string `required:"" placeholder:"TOKEN" help:"Order token, as order held shows it."`
	Force  bool   `help:"Do not ask. Needed where there is no terminal."`
	cli.Why
}

// Run releases the token. Dead letters that are still there lose their place in the order:
// replay or discard them instead, which releases the token by itself.
func (c orderReleaseCommand) Run(ctx context.Context, a *cli.App) error {
	if err := cli.CheckSource(c.Source); err != nil {
		return err
	}
	if (dlq.Query{OrderTokens: []string{c.Token}}).Validate() != nil { // what was given may be an order key
		return cli.Usagef("--token: that is no order token, 32 lower-case hex digits; see redoxworker order held")
	}
	q, err := openDesk(ctx, a)
	if err != nil {
		return err
	}
	defer q.Close()
	tokens := dlq.NewHeldTokens(q.JS, q.Prefix)
	held, err := tokens.Load(ctx, c.Source, c.Token)
	if err != nil {
		return q.Explain(err)
	}
	if held.Last == 0 && !held.Damaged {
		return fmt.Errorf("token %s of %s is not held; see `redoxworker order held`", c.Token, c.Source)
	}
	what := fmt.Sprintf("new messages of the token would no longer wait behind its dead letters, the last of which is number %d", held.Last)
	if held.Damaged {
		what = "the note of what waits is damaged; new messages of the token would no longer wait"
	}
	if err := a.Confirm(ctx, what, c.Force); err != nil {
		return err
	}
	if err := q.Release(ctx, c.Source, c.Token, c.Reason); err != nil {
		return q.Explain(err)
	}
	if a.Globals.JSON {
		return cli.EncodeAll(a, []dlq.HeldToken{held})
	}
	a.Printf("token %s of %s is released\n", c.Token, c.Source)
	return nil
}
