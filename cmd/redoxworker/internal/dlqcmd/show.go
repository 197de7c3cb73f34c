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
)

// showCommand shows one message's dead letter.
type showCommand struct {
	ID     string `arg:"" name:"id" help:"Message id."`
	Source string `placeholder:"NAME" help:"Its source, where several have messages of this id; _ is none."`
	Reveal bool   `help:"Print the body and all headers too: patient data."`
}

// Run prints all dead letters of the message: more than one where an id was used again.
func (c showCommand) Run(ctx context.Context, a *cli.App) error {
	var of []string
	if c.Source != "" {
		of = []string{c.Source}
	}
	if err := (dlq.Query{Sources: of}).Validate(); err != nil {
		return cli.Usagef("--source: %w", err)
	}
	g, err := openDeadLetters(ctx, a)
	if err != nil {
		return err
	}
	defer g.Close()
	letters, err := g.Get(ctx, c.Source, c.ID)
	switch {
	case errors.Is(err, dlq.ErrNotFound):
		return noDeadLetter(c.ID, of...)
	case errors.As(err, new(*dlq.SharedIDError)):
		return sharedID(err)
	case err != nil:
		return err
	}
	var failed error
	for _, l := range letters {
		failed = errors.Join(failed, c.print(ctx, a, g, l))
	}
	return failed
}

func (c showCommand) print(ctx context.Context, a *cli.App, g *graveyard, l dlq.Stored) error {
	row := newDeadRow(l)
	row.addHeaders(l, c.Reveal)
	var body []byte
	var missing error // why there is no body to show; the rest is shown all the same
	if c.Reveal {
		var err error
		if body, err = g.Body(ctx, l); err != nil {
			missing = fmt.Errorf("dead letter of message %s of source %s: its body: %w", l.MessageID, orNone(l.Source), err)
		} else {
			row.deadBody = newDeadBody(body)
		}
	}
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
	add("data model", row.model())
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
	for _, name := range slices.Sorted(maps.Keys(row.Headers)) {
		add(name, strings.Join(row.Headers[name], ", "))
	}
	return t
}
