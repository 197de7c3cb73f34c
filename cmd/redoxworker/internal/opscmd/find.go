package opscmd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/operate"
)

// FindCommand says where one message is.
type FindCommand struct {
	ID     string `arg:"" help:"Message id."`
	Source string `placeholder:"NAME" help:"Its source: there is less to look through, and more can be learned."`
	Scan   int    `default:"2000" placeholder:"N" help:"How many messages of the queue to look at for it, and ten times as many replies; -1 means all. Default: ${default}."`
}

// Run prints where the message is and what happened to it. It fails where nothing is known of it.
func (c FindCommand) Run(ctx context.Context, a *cli.App) error {
	if c.Scan == 0 || c.Scan < -1 {
		return cli.Usagef("--scan %d: use 1 or more, or -1 for all", c.Scan)
	}
	if err := cli.CheckSource(c.Source); err != nil {
		return err
	}
	s, err := a.OpenSession(ctx, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer s.Close()
	found, err := operate.Find(ctx, s.JS, s.Prefix, c.ID, operate.FindOptions{Source: c.Source, Scan: c.Scan, Explain: s.Explain})
	if err != nil {
		return s.Explain(err)
	}
	if a.Globals.JSON {
		err = json.NewEncoder(a.Stdout).Encode(found)
	} else {
		c.print(a, found)
	}
	if err == nil && !known(found) {
		err = cli.ErrReported
	}
	return err
}

func known(f operate.Finding) bool {
	for _, p := range f.Places {
		if p.State != operate.Unknown {
			return true
		}
	}
	return false
}

func (c FindCommand) print(a *cli.App, found operate.Finding) {
	for i, p := range found.Places {
		if i > 0 {
			a.Printf("\n")
		}
		a.Printf("%s\n", a.Fitted(placeTable(a, found.ID, p), 2))
	}
	if !known(found) {
		or := ""
		if len(found.Unlearned) > 0 {
			or = ", or be where nobody looked"
		}
		fmt.Fprintf(a.Stderr, "redoxworker: message %s is not known: it may have been delivered, and its reply not kept%s\n", cli.Printable(c.ID), or)
	}
	for _, text := range found.Unlearned {
		fmt.Fprintln(a.Stderr, "redoxworker: not learned:", cli.OneLine(text))
	}
}

func placeTable(a *cli.App, id string, p operate.Place) table.Writer {
	t := a.NewTable()
	add := func(name string, value any) {
		if text := fmt.Sprint(value); text != "" && text != "0" {
			t.AppendRow(table.Row{name, cli.Printable(text)})
		}
	}
	add("message", id)
	add("source", p.Source)
	add("state", p.State)
	add("why", p.Why)
	if p.Now != id {
		add("now", p.Now)
	}
	add("number", p.Sequence)
	add("dead letter", p.DeadSequence)
	add("attempts", p.Attempts)
	add("status", p.Status)
	add("error", p.Error)
	if !p.Next.IsZero() {
		add("next try", "in "+time.Until(p.Next).Round(time.Second).String())
	}
	add("reply", p.Reply)
	add("log ids", strings.Join(p.LogIDs, ", "))
	for _, m := range p.Timeline {
		at := "then"
		if !m.At.IsZero() {
			at = cli.Clock(m.At)
		}
		add(at, m.What)
	}
	return t
}
