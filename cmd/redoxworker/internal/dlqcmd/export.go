package dlqcmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// exportCommand writes dead letters to a file.
type exportCommand struct {
	deadFilter
	Out    cli.OutFile `short:"o" required:"" placeholder:"FILE" help:"New file, readable by its owner only."`
	ID     []string    `name:"id" sep:"none" placeholder:"ID" help:"Only of these messages."`
	Reveal bool        `help:"With bodies and all headers: patient data."`
	Force  bool        `help:"Overwrite the file."`
}

// Run writes the file and changes no dead letter.
func (c exportCommand) Run(ctx context.Context, a *cli.App) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	q.IDs, q.Models = c.ID, true
	g, err := openDeadLetters(ctx, a)
	if err != nil {
		return err
	}
	defer g.Close()
	if err := c.unshared(ctx, g, q); err != nil {
		return err
	}
	f, err := cli.NewFile(string(c.Out), c.Force)
	if errors.Is(err, fs.ErrExist) {
		return cli.Usagef("--out: %s exists; name another file, or use --force to overwrite it", c.Out)
	}
	if err != nil {
		return cli.Usagef("--out: %w", err)
	}
	out := bufio.NewWriter(f)
	n, err := c.export(ctx, a, g, q, json.NewEncoder(out))
	if err = errors.Join(err, out.Flush(), f.Close()); err != nil {
		return fmt.Errorf("export: %s is incomplete: %w", c.Out, err)
	}
	fmt.Fprintf(a.Stderr, "%s written to %s\n", cli.Counted(n, "dead letter"), c.Out)
	return nil
}

// unshared refuses ids that messages of several sources have, unless these are named.
func (c exportCommand) unshared(ctx context.Context, g *graveyard, q dlq.Query) error {
	if len(q.IDs) == 0 || len(q.Sources) > 0 {
		return nil
	}
	q.Models = false
	sources := map[string][]string{}
	for l, err := range g.List(ctx, q) {
		switch of := sources[l.MessageID]; {
		case errors.As(err, new(*dlq.UnreadableError)):
		case err != nil:
			return err
		case !slices.Contains(of, orNone(l.Source)):
			sources[l.MessageID] = append(of, orNone(l.Source))
		}
	}
	for _, id := range q.IDs {
		if of := sources[id]; len(of) > 1 {
			slices.Sort(of)
			return sharedID(&dlq.SharedIDError{ID: id, Sources: of})
		}
	}
	return nil
}

func (c exportCommand) export(ctx context.Context, a *cli.App, g *graveyard, q dlq.Query, to *json.Encoder) (n int, err error) {
	to.SetEscapeHTML(false)
	for l, err := range g.List(ctx, q) {
		if errors.As(err, new(*dlq.UnreadableError)) {
			fmt.Fprintln(a.Stderr, "redoxworker: warning:", err)
			continue
		}
		if err != nil {
			return n, err
		}
		row := newDeadRow(l)
		row.addHeaders(l, c.Reveal)
		if c.Reveal {
			body, err := g.Body(ctx, l)
			if errors.Is(err, dlq.ErrNotFound) {
				continue // replayed or discarded meanwhile
			}
			if errors.Is(err, outbox.ErrBodyMissing) || errors.Is(err, outbox.ErrBodyAltered) {
				fmt.Fprintf(a.Stderr, "redoxworker: warning: message %s of source %s is written without its body: %v\n", l.MessageID, orNone(l.Source), err)
			} else if err != nil {
				return n, err
			} else {
				row.deadBody = newDeadBody(body)
			}
		}
		if err := to.Encode(row); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
