package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// lanesCommand is about ordered messages: one partition waits for its first message.
type lanesCommand struct {
	Ls      lanesLsCommand      `cmd:"" default:"withargs" help:"What each partition is waiting on."`
	Hold    lanesHoldCommand    `cmd:"" help:"Have the first message of a partition settled held, so that the partition goes on."`
	Held    lanesHeldCommand    `cmd:"" help:"Order tokens that wait behind a dead letter (order.after_dead_letter: hold)."`
	Release lanesReleaseCommand `cmd:"" help:"Let an order token go on whose dead letters are gone."`
}

// lanesLsCommand lists partitions.
type lanesLsCommand struct {
	Source string `placeholder:"NAME" help:"Only of this source."`
	All    bool   `help:"Those without messages, too."`
}

// Run prints the partitions that hold messages, and the message each of them waits for.
func (c lanesLsCommand) Run(ctx context.Context, a *app) error {
	q, err := a.openQueue(ctx, natsOnly)
	if err != nil {
		return err
	}
	defer q.close()
	lanes, err := worker.NewLanes(q.js, q.prefix).List(ctx, c.Source, c.All)
	if err != nil {
		return q.explain(err)
	}
	if a.globals.JSON {
		return encodeAll(a, lanes)
	}
	if len(lanes) == 0 {
		fmt.Fprintln(a.stderr, "no partition holds a message")
		return nil
	}
	t := a.newTable()
	t.AppendHeader(table.Row{"source", "partition", "messages", "waits for", "stored", "state", "attempts", "next try", "last error"})
	for _, l := range lanes {
		row := table.Row{l.Source, l.Partition, l.Messages, "", "", "", "", "", ""}
		if h := l.Head; h != nil {
			row = table.Row{l.Source, l.Partition, l.Messages, h.ID, clock(h.Stored), laneStateText(h), h.Attempts, nextTry(h), h.Error}
		}
		t.AppendRow(row)
	}
	a.printf("%s\n", a.fitted(t, 9))
	return nil
}

func laneStateText(h *worker.LaneHead) string {
	if h.ByHand {
		return h.State + ", to be held"
	}
	return h.State
}

func nextTry(h *worker.LaneHead) string {
	if h.Next.IsZero() {
		return ""
	}
	return "in " + time.Until(h.Next).Round(time.Second).String()
}

func encodeAll[T any](a *app, all []T) error {
	encoder := json.NewEncoder(a.stdout)
	for _, one := range all {
		if err := encoder.Encode(one); err != nil {
			return err
		}
	}
	return nil
}

// lanesHoldCommand settles a head by hand.
type lanesHoldCommand struct {
	ID     string `arg:"" help:"Message id, as lanes shows it."`
	Source string `required:"" placeholder:"NAME" help:"Source of the message."`
	Force  bool   `help:"Do not ask. Needed where there is no terminal."`
}

// Run notes the decision; a worker carries it out.
func (c lanesHoldCommand) Run(ctx context.Context, a *app) error {
	q, err := a.openQueue(ctx, natsOnly)
	if err != nil {
		return err
	}
	defer q.close()
	if err := a.confirm(ctx, "message "+c.ID+" would be settled held, without another attempt", c.Force); err != nil {
		return err
	}
	state, err := worker.NewLanes(q.js, q.prefix).Hold(ctx, c.Source, c.ID)
	if err != nil {
		return q.explain(err)
	}
	if state.Head.ByHand = true; a.globals.JSON {
		return encodeAll(a, []worker.LaneState{state})
	}
	when := map[string]string{
		worker.LaneWaiting: "a worker settles it now",
		worker.LaneQueued:  "the next worker that takes it settles it",
		worker.LaneSending: "a worker settles it when the attempt under way has failed; if that succeeds, it is delivered",
	}[state.Head.State]
	a.printf("%s of %s, partition %d, is to be held: %s\n", c.ID, c.Source, state.Partition, when)
	return nil
}

// lanesHeldCommand lists held tokens.
type lanesHeldCommand struct{}

// Run prints every order token that waits behind dead letters, and the places of the first and
// the last of these in the queue: the "sequence" of `dlq ls --json`.
func (lanesHeldCommand) Run(ctx context.Context, a *app) error {
	q, err := a.openQueue(ctx, natsOnly)
	if err != nil {
		return err
	}
	defer q.close()
	held, err := outbox.NewHeldTokens(q.js, q.prefix).List(ctx)
	if err != nil {
		return err
	}
	if a.globals.JSON {
		return encodeAll(a, held)
	}
	if len(held) == 0 {
		fmt.Fprintln(a.stderr, "no order token waits behind a dead letter")
		return nil
	}
	t := a.newTable()
	t.AppendHeader(table.Row{"source", "order token", "first", "last", "since"})
	for _, h := range held {
		row := table.Row{h.Source, h.Token, h.First, h.Last, clock(h.Since)}
		switch {
		case h.Damaged:
			row[2], row[3] = "unknown: the note is damaged", ""
		case h.First == 0:
			row[2] = fmt.Sprint("after ", h.Through)
		}
		t.AppendRow(row)
	}
	a.printf("%s\n", a.fitted(t, 5))
	return nil
}

// lanesReleaseCommand releases a held token.
type lanesReleaseCommand struct {
	Source string `required:"" placeholder:"NAME" help:"Source of the token."`
	Token  string `required:"" placeholder:"TOKEN" help:"Order token, as lanes held shows it."`
	Force  bool   `help:"Do not ask. Needed where there is no terminal."`
}

// Run releases the token. Dead letters that are still there lose their place in the order:
// replay or discard them instead, which releases the token by itself.
func (c lanesReleaseCommand) Run(ctx context.Context, a *app) error {
	q, err := a.openQueue(ctx, natsOnly)
	if err != nil {
		return err
	}
	defer q.close()
	tokens := outbox.NewHeldTokens(q.js, q.prefix)
	held, err := tokens.Load(ctx, c.Source, c.Token)
	if err != nil {
		return err
	}
	if held.Last == 0 && !held.Damaged {
		return fmt.Errorf("token %s of %s is not held; see `redoxworker lanes held`", c.Token, c.Source)
	}
	what := fmt.Sprintf("new messages of the token would no longer wait behind its dead letters, the last of which is number %d", held.Last)
	if held.Damaged {
		what = "the note of what waits is damaged; new messages of the token would no longer wait"
	}
	if err := a.confirm(ctx, what, c.Force); err != nil {
		return err
	}
	if err := tokens.Clear(ctx, c.Source, c.Token); err != nil {
		return err
	}
	if a.globals.JSON {
		return encodeAll(a, []outbox.HeldToken{held})
	}
	a.printf("token %s of %s is released\n", c.Token, c.Source)
	return nil
}
