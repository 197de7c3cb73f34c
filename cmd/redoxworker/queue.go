package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
)

// queue is what a command has that looks at streams and buckets, or changes them: the
// configuration and an open connection.
type queue struct {
	config *config.Config
	log    *slog.Logger
	conn   *nats.Conn
	js     jetstream.JetStream
	prefix outbox.Prefix
}

// natsOnly are the parts of the configuration that a command can do without which needs
// nothing but NATS.
const natsOnly = config.PartKeys | config.PartSources | config.PartOrderSecret

// openQueue loads the configuration without the parts to skip and connects, once. Close it.
func (a *app) openQueue(ctx context.Context, skip config.Parts) (*queue, error) {
	c, err := a.load(skip)
	if err != nil {
		return nil, err
	}
	return a.connectQueue(ctx, c)
}

// connectQueue is openQueue with a configuration that was looked at before.
func (a *app) connectQueue(ctx context.Context, c *config.Config) (*queue, error) {
	log, err := a.logger(c.Log)
	if err != nil {
		return nil, err
	}
	conn, js, err := connectOnce(ctx, c, log)
	if err != nil {
		return nil, err
	}
	return &queue{c, log, conn, js, outbox.Prefix(c.NATS.Prefix)}, nil
}

func (q *queue) close() { q.conn.Close() }

// explain adds what to do about a server without JetStream, and what the server says to the
// connection alone: a request for a subject that it refused gets no answer.
func (q *queue) explain(err error) error {
	if noJetStream(err) && !strings.Contains(err.Error(), enableJetStream) {
		return fmt.Errorf("%w: %s", err, enableJetStream)
	}
	last := q.conn.LastError()
	if errors.Is(err, context.DeadlineExceeded) && errors.Is(last, nats.ErrPermissionViolation) && !errors.Is(err, outbox.ErrPermission) {
		inbox := q.conn.NewInbox() // prefix and a unique token
		if strings.Contains(last.Error(), `Subscription to "`+inbox[:strings.LastIndexByte(inbox, '.')+1]) {
			return fmt.Errorf("%w: %w (last refused: %w): set nats.inbox_prefix to the one that this user may subscribe to", err, outbox.ErrPermission, last)
		}
		return fmt.Errorf("%w: %w (last refused: %w): allow this user the subject, or connect as another user", err, outbox.ErrPermission, last)
	}
	return err
}

const enableJetStream = "enable jetstream in the server's configuration and for this account"

// noJetStream reports whether the server has none, for this account.
func noJetStream(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}
