package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/service/natslink"
)

// Session is what a command has that looks at streams and buckets, or changes them: the
// configuration and an open connection.
type Session struct {
	Config *config.Config
	JS     jetstream.JetStream
	Prefix contract.Prefix

	conn *nats.Conn
}

// NATSOnly are the parts of the configuration that a command can do without which needs
// nothing but NATS.
const NATSOnly = config.PartKeys | config.PartSources | config.PartOrderSecret

// OpenSession loads the configuration without the parts to skip and connects, once. Close it.
func (a *App) OpenSession(ctx context.Context, skip config.Parts) (*Session, error) {
	c, err := a.Load(skip)
	if err != nil {
		return nil, err
	}
	return a.Connect(ctx, c)
}

// Connect is OpenSession with a configuration that was looked at before.
func (a *App) Connect(ctx context.Context, c *config.Config) (*Session, error) {
	log, err := a.Logger(c.Log)
	if err != nil {
		return nil, err
	}
	conn, js, err := ConnectOnce(ctx, c, log)
	if err != nil {
		return nil, err
	}
	return NewSession(c, conn, js), nil
}

// NewSession is one over a connection that is open.
func NewSession(c *config.Config, conn *nats.Conn, js jetstream.JetStream) *Session {
	return &Session{Config: c, JS: js, Prefix: contract.Prefix(c.NATS.Prefix), conn: conn}
}

// Close closes the connection.
func (s *Session) Close() { s.conn.Close() }

// Connected reports whether there is a connection at present.
func (s *Session) Connected() bool { return s.conn.IsConnected() }

// Explain adds what to do about a server without JetStream, and what the server says to the
// connection alone: a request for a subject that it refused gets no answer.
func (s *Session) Explain(err error) error {
	if NoJetStream(err) && !strings.Contains(err.Error(), EnableJetStream) {
		return fmt.Errorf("%w: %s", err, EnableJetStream)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) && !strings.Contains(err.Error(), makeStreams) {
		return fmt.Errorf("a stream does not exist: %s: %w", makeStreams, err)
	}
	last := s.conn.LastError()
	if errors.Is(err, context.DeadlineExceeded) && errors.Is(last, nats.ErrPermissionViolation) && !errors.Is(err, outbox.ErrPermission) {
		inbox := s.conn.NewInbox() // prefix and a unique token
		if strings.Contains(last.Error(), `Subscription to "`+inbox[:strings.LastIndexByte(inbox, '.')+1]) {
			return fmt.Errorf("%w: %w (last refused: %w): set nats.inbox_prefix to the one that this user may subscribe to", err, outbox.ErrPermission, last)
		}
		return fmt.Errorf("%w: %w (last refused: %w): allow this user the subject, or connect as another user", err, outbox.ErrPermission, last)
	}
	return err
}

// EnableJetStream is what to do about a server without JetStream.
const EnableJetStream = "enable jetstream in the server's configuration and for this account"

// makeStreams is what to do about a stream that is missing.
const makeStreams = "run `redoxworker provision`"

// NoJetStream reports whether the server has none, for this account.
func NoJetStream(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}

// connectTimeout is how long a command that does one thing waits for NATS.
const connectTimeout = 5 * time.Second

// ConnectOnce connects for a command that does one thing: it gives up after a few
// seconds, where a daemon waits.
func ConnectOnce(ctx context.Context, c *config.Config, log *slog.Logger) (*nats.Conn, jetstream.JetStream, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, errors.New("no connection within 5s; is the server running, and are url and credentials right?"))
	defer cancel()
	return natslink.Connect(ctx, c, log)
}
