package dlqcmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// exportCommand writes dead letters to a file.
type exportCommand struct {
	deadFilter
	Out    string   `short:"o" required:"" placeholder:"FILE" help:"New file, readable by its owner only; - is standard output."`
	ID     []string `name:"id" sep:"none" placeholder:"ID" help:"Only of these messages."`
	Reveal bool     `help:"With bodies and all headers: patient data."`
	Force  bool     `help:"Overwrite the file."`
	cli.Why
}

// stdout is the name that stands for standard output.
const stdout = "-"

// Run writes the file and changes no dead letter.
func (c exportCommand) Run(ctx context.Context, a *cli.App) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	if c.Out == "" {
		return cli.Usagef("--out: it is empty; name a file, or - for standard output")
	}
	if c.Out == stdout && c.Reveal && cli.IsTerminal(a.Stdout) && !c.Force {
		return cli.Usagef("--out: bodies are patient data, and standard output is a terminal; name a file, or use --force")
	}
	q.IDs, q.Models = c.ID, true
	g, err := openDeadLetters(ctx, a)
	if err != nil {
		return err
	}
	defer g.Close()
	out := exportOut{App: a, name: c.Out, overwrite: c.Force}
	if err := out.check(); err != nil {
		return err
	}
	n, err := c.export(ctx, a, g, q, &out)
	var shared *dlq.SharedIDError
	if errors.As(err, &shared) {
		return sharedID(shared)
	}
	if err = errors.Join(err, out.close()); err != nil && n == 0 {
		return err
	}
	if err != nil {
		return fmt.Errorf("export: %s is incomplete: %w", out.shown(), err)
	}
	fmt.Fprintf(a.Stderr, "%s written to %s\n", cli.Counted(n, "dead letter"), out.shown())
	return nil
}

func (c exportCommand) export(ctx context.Context, a *cli.App, g *graveyard, q dlq.Query, out *exportOut) (n int, err error) {
	for l, err := range g.desk.Export(ctx, q, c.Reveal, c.Reason) {
		if errors.As(err, new(*dlq.UnreadableError)) {
			fmt.Fprintln(a.Stderr, "redoxworker: warning:", err)
			continue
		}
		if err != nil {
			return n, err
		}
		row := newDeadRow(l.Stored)
		row.addHeaders(l.Stored, c.Reveal)
		switch {
		case l.Lost != nil:
			fmt.Fprintf(a.Stderr, "redoxworker: warning: message %s of source %s is written without its body: %v\n", cli.Printable(l.MessageID), orNone(l.Source), l.Lost)
		case c.Reveal:
			row.deadBody = newDeadBody(l.Body, true)
		}
		if err := out.write(row); err != nil {
			return n, err
		}
		n++
	}
	return n, out.open() // also where there is nothing to write
}

// exportOut is where an export goes. The file is made when there is something to write.
type exportOut struct {
	*cli.App
	name      string // - is standard output
	overwrite bool

	file   io.Closer // nil for standard output
	buffer *bufio.Writer
}

// check fails where the file is there.
func (o *exportOut) check() error {
	if _, err := os.Lstat(o.name); err == nil && o.name != stdout && !o.overwrite {
		return cli.Usagef("--out: %s exists; name another file, or use --force to overwrite it", o.name)
	}
	return nil
}

func (o *exportOut) open() error {
	if o.buffer != nil {
		return nil
	}
	if o.name == stdout {
		o.buffer = bufio.NewWriter(o.Stdout)
		return nil
	}
	f, err := cli.NewFile(o.name, o.overwrite)
	if err != nil {
		return cli.Usagef("--out: %w", err)
	}
	o.file, o.buffer = f, bufio.NewWriter(f)
	return nil
}

func (o *exportOut) write(row deadRow) error {
	if err := o.open(); err != nil {
		return err
	}
	to := json.NewEncoder(o.buffer)
	to.SetEscapeHTML(false)
	return to.Encode(row)
}

func (o *exportOut) close() error {
	if o.buffer == nil {
		return nil
	}
	err := o.buffer.Flush()
	if o.file != nil {
		err = errors.Join(err, o.file.Close())
	}
	return err
}

func (o *exportOut) shown() string {
	if o.name == stdout {
		return "standard output"
	}
	return o.name
}
