package main

import (
	"context"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
)

// requestCommand publishes a query and waits for its answer.
type requestCommand struct {
	messageFlags
	Timeout time.Duration `default:"150s" help:"How long to wait for the answer; the query is not sent later than that."`
	Durable bool          `help:"Keep the answer for 24 hours, under redox.reply.<source>.<id>; the same command with the same --id reads it again."`
}

// Run prints the answer.
func (q requestCommand) Run(ctx context.Context, a *cli.App) error {
	if q.Timeout <= 0 {
		return cli.Usagef("--timeout: %s is no time to wait; use 30s, say", q.Timeout)
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
	r, err := p.await(ctx, m, q.Timeout)
	if err != nil {
		return flagError(err, "--id") // which --durable makes the reply subject of
	}
	return printReply(a, r, m.ReplyTo)
}

func (q requestCommand) read(ctx context.Context, a *cli.App, c *config.Config, source string) (outbox.Message, error) {
	m := q.message(source)
	m.Lane = outbox.LaneRequest
	if m.ID == "" {
		m.ID = outbox.NewID()
	}
	if q.Durable {
		m.ReplyTo = outbox.Prefix(c.NATS.Prefix).ReplySubject(source, strings.ReplaceAll(m.ID, ".", "-"))
	}
	return m, q.fill(ctx, a, c, &m)
}

// fill reads the body of a message that has one.
func (f messageFlags) fill(ctx context.Context, a *cli.App, c *config.Config, m *outbox.Message) error {
	if f.bodyless(a) {
		return nil
	}
	in, err := a.OpenInput(ctx, f.File)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	limit, setting := c.Redox.BodyLimit(string(m.Kind))
	m.Body, err = f.body(in, limit, setting)
	return err
}
