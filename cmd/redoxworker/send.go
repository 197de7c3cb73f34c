package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// sendCommand publishes messages that Redox takes and answers with a receipt.
type sendCommand struct {
	messageFlags
	NDJSON   bool          `name:"ndjson" help:"One message per line; so are files named .ndjson and .jsonl. With --id, the ids are ID-1, ID-2 and so on by line."`
	OrderKey given         `name:"order-key" placeholder:"KEY" help:"Keep the order of all messages with this key. It never leaves this process."`
	ReplyTo  given         `name:"reply-to" placeholder:"SUBJECT" help:"Subject for the reply, _INBOX.… or redox.reply.<source>.…"`
	Wait     bool          `help:"Wait for the reply and print its body. One message only."`
	Timeout  time.Duration `default:"150s" help:"How long --wait waits. The message is sent later all the same."`
}

// Run publishes one message, or each line of a file.
func (s sendCommand) Run(ctx context.Context, a *cli.App) error {
	if err := s.check(); err != nil {
		return err
	}
	c, source, err := s.load(a)
	if err != nil {
		return err
	}
	if s.lines() {
		return s.sendLines(ctx, a, c, source)
	}
	m := s.outgoing(source)
	if m.ID == "" {
		m.ID = outbox.NewID()
	}
	if err := s.fill(ctx, a, c, &m); err != nil {
		if severalLines(m.Body) {
			return fmt.Errorf("%w; if it has one message per line, use --ndjson", err)
		}
		return err
	}
	p, err := newPublisher(ctx, a, c, source)
	if err != nil {
		return err
	}
	defer p.close()
	if s.Wait {
		r, err := p.await(ctx, m, s.Timeout)
		if err != nil {
			return flagError(err, "--reply-to")
		}
		return printReply(a, r, "")
	}
	receipt, err := p.Publish(ctx, m)
	if err != nil {
		return flagError(err, "--reply-to")
	}
	out := newReceipts(a)
	if err := out.end(out.print(receipt)); err != nil {
		return fmt.Errorf("message %s is stored, but its receipt could not be written: %w", receipt.ID, err)
	}
	return nil
}

// check finds flags that do not go together.
func (s sendCommand) check() error {
	switch {
	case s.Wait && s.lines():
		return cli.Usagef("--wait: goes with one message, not with one per line; use --reply-to to collect the replies")
	case s.Timeout <= 0:
		return cli.Usagef("--timeout: %s is no time to wait; use 30s, say", s.Timeout)
	}
	return nil
}

func (s sendCommand) lines() bool {
	ext := filepath.Ext(s.File)
	return s.NDJSON || s.Kind != string(outbox.KindFile) && (ext == ".ndjson" || ext == ".jsonl") // a file goes as it is
}

// load answers with the settings and the source.
func (s sendCommand) load(a *cli.App) (*config.Config, string, error) {
	c, source, err := s.loadSource(a, s.OrderKey != "")
	switch {
	case err != nil:
	case s.OrderKey != "" && !c.Order.Secret.IsSet():
		err = cli.Usagef("order.secret: not set, and --order-key needs it; set order.secret_file to the file that all publishers of the source share")
	case s.ReplyTo != "":
		err = checkReplyTo(c, source, string(s.ReplyTo))
	}
	return c, source, err
}

// checkReplyTo refuses a subject that the workers of this configuration do not answer: they
// would make a dead letter of the message.
func checkReplyTo(c *config.Config, source, subject string) error {
	policy := outbox.ReplyPolicy{Prefix: contract.Prefix(c.NATS.Prefix), Allow: c.Reply.Allow}
	var refused *outbox.ContractError
	if err := policy.Check(source, subject); errors.As(err, &refused) {
		return cli.Usagef("--reply-to: it %s; use _INBOX.…, %s, or what reply.allow names", refused.Reason, policy.Prefix.ReplySubject(source, "…"))
	}
	return nil
}

// outgoing is the message without its body.
func (s sendCommand) outgoing(source string) outbox.Message {
	m := s.message(source)
	m.Lane, m.OrderKey, m.ReplyTo = contract.LaneSend, string(s.OrderKey), string(s.ReplyTo)
	if s.OrderKey != "" {
		m.Lane = contract.LaneOrdered
	}
	return m
}

// severalLines reports whether each line of a body that is no JSON is a message by itself, as
// far as its first two tell.
func severalLines(body []byte) bool {
	first, rest, _ := bytes.Cut(bytes.TrimSpace(body), []byte("\n"))
	second, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte("\n"))
	return redox.CheckBody(outbox.Message{Body: first}) == nil && redox.CheckBody(outbox.Message{Body: second}) == nil
}
