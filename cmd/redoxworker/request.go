package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// requestCommand publishes a query and waits for its answer.
type requestCommand struct {
	messageFlags
	followFlags
	Timeout time.Duration `default:"150s" help:"How long to wait for the answer; the query is not sent later than that."`
	Durable bool          `help:"Keep the answer for 24 hours, under redox.reply.<source>.<id>; the same command with the same --id reads it again."`
	Out     cli.OutFile   `short:"o" placeholder:"FILE" help:"Write the answer to a new file, readable by its owner only. One that reports a failure is printed all the same."`
	Force   bool          `help:"Overwrite that file."`
}

// Run prints the answer.
func (q requestCommand) Run(ctx context.Context, a *cli.App) error {
	if err := q.check(a); err != nil {
		return err
	}
	c, source, err := q.loadSource(a, false)
	if err != nil {
		return err
	}
	m, err := q.read(ctx, a, c, source)
	if err != nil {
		return err
	}
	p, err := newPublisher(ctx, a, c, source)
	if err != nil {
		return err
	}
	defer p.close()
	if q.Follow {
		return q.printed(a, true, func(to *cli.App) error { return q.follow(ctx, to, p, m) })
	}
	r, err := p.await(ctx, m, q.Timeout)
	if err != nil {
		return flagError(err, "--id") // which --durable makes the reply subject of
	}
	return q.printed(a, r.OK(), func(to *cli.App) error { return printReply(to, r, m.ReplyTo) })
}

// check finds flags that do not go together.
func (q requestCommand) check(a *cli.App) error {
	if q.Timeout <= 0 {
		return cli.Usagef("--timeout: %s is no time to wait; use 30s, say", q.Timeout)
	}
	if _, err := os.Lstat(string(q.Out)); q.Out != "" && err == nil && !q.Force {
		return q.exists()
	}
	return q.followFlags.check(q.Kind, a.Globals.JSON)
}

func (q requestCommand) exists() error {
	return cli.Usagef("--out: %s exists; name another file, or use --force to overwrite it", q.Out)
}

// printed has an answer printed, to the file if there is one and the answer is to go there.
func (q requestCommand) printed(a *cli.App, toFile bool, print func(*cli.App) error) error {
	if q.Out == "" || !toFile {
		return print(a)
	}
	f, err := cli.NewFile(string(q.Out), q.Force)
	if errors.Is(err, fs.ErrExist) {
		return q.exists()
	}
	if err != nil {
		return cli.Usagef("--out: %w", err)
	}
	to := *a
	to.Stdout = f
	err = print(&to)
	if closed := f.Close(); closed != nil {
		return fmt.Errorf("%s is incomplete: %w", q.Out, errors.Join(err, closed))
	}
	return err
}

func (q requestCommand) read(ctx context.Context, a *cli.App, c *config.Config, source string) (outbox.Message, error) {
	m := q.message(source)
	m.Lane = contract.LaneRequest
	if m.ID == "" {
		m.ID = outbox.NewID()
	}
	if q.Durable {
		m.ReplyTo = contract.Prefix(c.NATS.Prefix).ReplySubject(source, strings.ReplaceAll(m.ID, ".", "-"))
	}
	return m, q.fill(ctx, a, c, &m)
}

// fill reads the body of a message that has one, and compares it with its schema if that is wanted.
func (f messageFlags) fill(ctx context.Context, a *cli.App, c *config.Config, m *outbox.Message) error {
	l, err := f.linting()
	if err != nil {
		return err
	}
	if f.bodyless(a) {
		return nil
	}
	in, err := a.OpenInput(ctx, f.File)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	limit, setting := c.Redox.BodyLimit(string(m.Kind))
	if m.Body, err = f.body(in, limit, setting); err != nil {
		return err
	}
	if path, _, _ := strings.Cut(f.Path, "?"); m.Kind == outbox.KindFHIR && strings.HasSuffix(path, "/_search") {
		m.Body = bytes.TrimRight(m.Body, "\r\n") // the line end of a file is no part of what is searched for
	}
	warning, err := l.check(ctx, *m)
	if warning != nil {
		fmt.Fprintf(a.Stderr, "redoxworker: warning: %v\n", warning)
	}
	return err
}
