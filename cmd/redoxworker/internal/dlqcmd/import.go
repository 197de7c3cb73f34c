package dlqcmd

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/operate"
)

// importCommand brings exported dead letters back.
type importCommand struct {
	File   string `arg:"" optional:"" help:"File that dlq export --reveal wrote; - is standard input."`
	DryRun bool   `name:"dry-run" help:"Read it all, say what would be done and change nothing."`
	Force  bool   `help:"Do not ask. Needed where there is no terminal."`
	cli.Why
}

const (
	// importBatch and importBytes bound what is stored with one entry in the audit trail, and is in
	// memory at once.
	importBatch = 1000
	importBytes = 32 << 20
)

// Run stores what the stream does not have. It can be repeated: what is there already is left as it
// is.
func (c importCommand) Run(ctx context.Context, a *cli.App) error {
	in, err := a.OpenInput(ctx, c.File)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	g, err := openDeadLetters(ctx, a)
	if err != nil {
		return err
	}
	defer g.Close()
	if err := a.Confirm(ctx, "the dead letters of "+c.from()+" would be stored", c.Force || c.DryRun); err != nil {
		return err
	}
	i := importing{app: a, command: c, yard: g}
	err = i.all(ctx, bufio.NewReader(in))
	what := fmt.Sprintf("%s stored, %d there already", cli.Counted(i.stored, "dead letter"), i.there)
	if c.DryRun {
		what = fmt.Sprintf("dry run, nothing was changed; %s could be stored", cli.Counted(i.read, "dead letter"))
	}
	fmt.Fprintln(a.Stderr, what)
	if err != nil {
		return fmt.Errorf("import: line %d: %w", i.line, err)
	}
	return nil
}

func (c importCommand) from() string {
	if c.File == "" || c.File == stdout {
		return "standard input"
	}
	return c.File
}

// importing is an import on its way.
type importing struct {
	app     *cli.App
	command importCommand
	yard    *graveyard
	batch   []dlq.Letter
	bytes   int

	line, read, stored, there int
}

// all stores what was read up to the end, or up to the line that it cannot read.
func (i *importing) all(ctx context.Context, in *bufio.Reader) error {
	decoder := json.NewDecoder(in)
	for {
		i.line++
		letter, err := readLetter(decoder)
		switch {
		case errors.Is(err, io.EOF):
			i.line--
			return i.flush(ctx)
		case ctx.Err() != nil:
			return cli.WhyEnded(ctx)
		case err != nil:
			if stored := i.flush(ctx); stored != nil || i.command.DryRun {
				return cmp.Or(stored, err)
			}
			return fmt.Errorf("%w; what comes before it is kept", err)
		}
		i.read++
		i.batch, i.bytes = append(i.batch, letter), i.bytes+len(letter.Body)
		if len(i.batch) < importBatch && i.bytes < importBytes {
			continue
		}
		if err := i.flush(ctx); err != nil {
			return err
		}
	}
}

// readLetter reads a line.
func readLetter(decoder *json.Decoder) (dlq.Letter, error) {
	var row deadRow
	switch err := decoder.Decode(&row); {
	case errors.Is(err, io.EOF):
		return dlq.Letter{}, io.EOF
	case err != nil:
		return dlq.Letter{}, errors.New("it is no JSON of dlq export") // the text of the error may be that of the line
	}
	return row.letter()
}

// flush stores what was read.
func (i *importing) flush(ctx context.Context) error {
	batch := i.batch
	i.batch, i.bytes = nil, 0
	if len(batch) == 0 || i.command.DryRun {
		return nil
	}
	stored, err := i.yard.desk.Import(ctx, batch, i.command.from(), i.command.Reason)
	for _, is := range stored {
		if is {
			i.stored++
		} else {
			i.there++
		}
	}
	return err
}

// letter is the dead letter that a row was made of. It fails where the row does not have all of it.
func (r deadRow) letter() (dlq.Letter, error) {
	l := dlq.Letter{
		MessageID: r.ID, Source: r.Source, Settlement: r.Settlement, Error: r.Error, Status: r.Status, Attempts: r.Attempts, At: r.At,
		Subject: r.Subject, Sequence: r.Sequence, Behind: r.Behind, Worker: r.Worker, Header: nats.Header(r.Headers),
	}
	switch {
	case r.ID == "" || !r.Settlement.Valid() || r.Settlement == outbox.Delivered || r.At.IsZero():
		return l, errors.New("it is no dead letter: id, settlement or at is missing or unknown")
	case r.BodyText != "":
		l.Body = []byte(r.BodyText)
	case r.Body != nil:
		l.Body = r.Body
	case len(r.BodyBase64) > 0:
		l.Body = r.BodyBase64
	case r.Size > 0 || r.Object != "":
		return l, errors.New("it has no body: export it with --reveal")
	}
	for _, values := range r.Headers {
		if len(values) == 1 && values[0] == operate.Hidden {
			return l, errors.New("its headers are hidden: export it with --reveal")
		}
	}
	return l, nil
}
