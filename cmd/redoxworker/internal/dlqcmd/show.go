package dlqcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/audit"
)

// showCommand shows one message's dead letter.
type showCommand struct {
	ID     string `arg:"" name:"id" help:"Message id."`
	Source string `placeholder:"NAME" help:"Its source, where several have messages of this id; _ is none."`
	Reveal bool   `help:"Print the body and all headers too: patient data."`
	cli.Why
}

// Run prints all dead letters of the message: more than one where an id was used again.
func (c showCommand) Run(ctx context.Context, a *cli.App) error {
	g, err := openDeadLetters(ctx, a)
	if err != nil {
		return err
	}
	defer g.Close()
	letters, err := get(ctx, g, c.Source, c.ID)
	if err != nil {
		return err
	}
	var failed error
	for _, l := range letters {
		failed = errors.Join(failed, c.print(ctx, a, g, l))
	}
	return failed
}

// get finds the dead letters of a message; source may be "".
func get(ctx context.Context, g *graveyard, source, id string) ([]dlq.Stored, error) {
	var of []string
	if source != "" {
		of = []string{source}
	}
	if err := (dlq.Query{Sources: of}).Validate(); err != nil {
		return nil, cli.Usagef("--source: %w", err)
	}
	letters, err := g.Get(ctx, source, id)
	switch {
	case errors.Is(err, dlq.ErrNotFound):
		return nil, noDeadLetter(id, of...)
	case errors.As(err, new(*dlq.SharedIDError)):
		return nil, sharedID(err)
	}
	return letters, err
}

func (c showCommand) print(ctx context.Context, a *cli.App, g *graveyard, l dlq.Stored) error {
	row := newDeadRow(l)
	var body []byte
	var missing error // why there is no body to show; the rest is shown all the same
	if c.Reveal {
		var err error
		body, err = g.desk.Reveal(ctx, l, c.Reason)
		if errors.Is(err, audit.ErrNotKept) {
			return err
		}
		if err != nil {
			missing = fmt.Errorf("dead letter of message %s of source %s: its body: %w", l.MessageID, orNone(l.Source), err)
		} else {
			row.deadBody = newDeadBody(body, false)
			if h, err := g.Header(ctx, l); err == nil {
				l.Header = h
			}
		}
	}
	row.addHeaders(l, c.Reveal)
	if a.Globals.JSON {
		encoder := json.NewEncoder(a.Stdout)
		encoder.SetEscapeHTML(false)
		return errors.Join(missing, encoder.Encode(row))
	}
	a.Printf("%s\n", a.Fitted(c.table(a, row), 2))
	if c.Reveal && missing == nil {
		a.Printf("\n")
		return a.PrintText(body)
	}
	return missing
}

func (c showCommand) table(a *cli.App, row deadRow) table.Writer {
	t := a.NewTable()
	add := func(name string, value any) {
		if text := cli.Printable(fmt.Sprint(value)); text != "" {
			t.AppendRow(table.Row{name, text})
		}
	}
	add("message", row.ID)
	add("source", row.Source)
	add("settlement", row.Settlement)
	add("error", row.Error)
	add("status", statusText(row.Status))
	add("attempts", row.Attempts)
	add("data model", row.Model())
	if row.Sealed != "" {
		add("sealed", "with key "+row.Sealed+": its data model, path and headers are in there")
	}
	size := cli.Counted(row.Size, "byte")
	if row.Object != "" {
		size = "in the object store as " + row.Object
	}
	add("body", size)
	add("settled", cli.Clock(row.At)+" by "+row.Worker)
	add("stored", fmt.Sprintf("%s as number %d of the dead letters", cli.Clock(row.Stored), row.DeadSequence))
	add("was", fmt.Sprintf("%s, number %d of the work queue", row.Subject, row.Sequence))
	if row.ReplayOf != "" {
		add("replay", fmt.Sprintf("number %s, of %s", row.ReplayCount, row.ReplayOf))
	}
	if row.Edited > 0 {
		add("edited", cli.Counted(row.Edited, "time")+" by operators")
	}
	for _, name := range slices.Sorted(maps.Keys(row.Headers)) {
		add(name, strings.Join(row.Headers[name], ", "))
	}
	return t
}
