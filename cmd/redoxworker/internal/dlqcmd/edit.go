package dlqcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// editCommand sends a dead letter again with another body.
type editCommand struct {
	ID     string `arg:"" name:"id" help:"Message id."`
	Source string `placeholder:"NAME" help:"Its source, where several have messages of this id."`
	Body   string `placeholder:"FILE" help:"File with the new body; - is standard input. Default: $$VISUAL or $$EDITOR opens the old one."`
	DryRun bool   `name:"dry-run" help:"Say what would be done and change nothing."`
	Force  bool   `help:"Do not ask. Needed where there is no terminal."`
	cli.Why
}

// Run sends the message again, with the id of a replay: its reply and its next dead letter name the
// first one.
func (c editCommand) Run(ctx context.Context, a *cli.App) error {
	g, err := openDeadLetters(ctx, a)
	if err != nil {
		return err
	}
	defer g.Close()
	l, err := c.letter(ctx, g)
	if err != nil {
		return err
	}
	body, err := c.body(ctx, a, g, l)
	if err != nil {
		return err
	}
	if l.Kind() == outbox.KindDataModel && !json.Valid(contract.WithoutMark(body)) {
		return errors.New("edit: the new body is no JSON; nothing was changed")
	}
	if err := a.Confirm(ctx, fmt.Sprintf("message %s would be sent again with a body of %s", cli.Printable(c.ID), cli.Counted(len(body), "byte")), c.Force || c.DryRun); err != nil {
		return err
	}
	h, err := g.desk.Edit(ctx, l, body, dlq.ReplayOptions{DryRun: c.DryRun}, c.Reason)
	r := newDeadRun(a, 1, c.DryRun, "sent again")
	return r.result(ctx, r.each(func(yield func(dlq.Handled, error) bool) { yield(h, err) }), 0)
}

// letter is the one dead letter that is meant.
func (c editCommand) letter(ctx context.Context, g *graveyard) (dlq.Stored, error) {
	letters, err := get(ctx, g, c.Source, c.ID)
	if err != nil {
		return dlq.Stored{}, err
	}
	if len(letters) > 1 {
		return dlq.Stored{}, fmt.Errorf("message %s of source %s has %d dead letters, its id was used again; replay or discard the others first", cli.Printable(c.ID), orNone(letters[0].Source), len(letters))
	}
	return letters[0], nil
}

// body is the new one: of a file, of standard input, or out of an editor.
func (c editCommand) body(ctx context.Context, a *cli.App, g *graveyard, l dlq.Stored) ([]byte, error) {
	if c.Body == "" {
		return c.edited(ctx, a, g, l)
	}
	in, err := a.OpenInput(ctx, c.Body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // it was only read
	body, err := io.ReadAll(in)
	if err == nil && len(body) == 0 {
		return nil, cli.Usagef("--body: it is empty")
	}
	return body, err
}

// edited lets an editor change the body, in a folder that is its owner's alone and gone afterwards.
func (c editCommand) edited(ctx context.Context, a *cli.App, g *graveyard, l dlq.Stored) (_ []byte, err error) {
	editor := a.Env("VISUAL")
	if editor == "" {
		editor = a.Env("EDITOR")
	}
	if !cli.IsTerminal(a.Stdin) || !cli.IsTerminal(a.Stdout) || editor == "" {
		return nil, cli.Usagef("--body: missing; name a file, or set EDITOR and use a terminal")
	}
	before, err := g.desk.Reveal(ctx, l, c.Reason)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "redoxworker-") // 0700
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "body.json")
	if err := os.WriteFile(path, before, 0o600); err != nil {
		return nil, err
	}
	words := strings.Fields(editor)
	command := exec.CommandContext(ctx, words[0], append(words[1:], path)...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("edit: %s: %w; nothing was changed", words[0], err)
	}
	body, err := os.ReadFile(path)
	if err == nil && bytes.Equal(body, before) {
		return nil, errors.New("edit: the body is as it was; nothing was changed; dlq replay sends it so")
	}
	return body, err
}
