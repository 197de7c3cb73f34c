package natslink

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/synadia-io/orbit.go/natscontext"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service/internal/pemfile"
)

// natsOptions turns the settings into options of the client, and answers the servers.
//
// The client's defaults give up after 60 reconnects and notice a dead peer after minutes;
// a worker waits for ever and notices within 40 s. Permission violations arrive on the
// connection and not as an answer, so they are logged here.
func natsOptions(c config.NATS, link *Link) ([]nats.Option, string, error) {
	opts := []nats.Option{
		nats.Name("redoxworker"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(time.Second),
		nats.PingInterval(20 * time.Second), nats.MaxPingsOutstanding(2),
	}
	opts = append(opts, link.options()...)
	if err := checkTLS(c.TLS); err != nil {
		return nil, "", err
	}
	if c.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(c.InboxPrefix))
	}
	if c.TLS.CAFile != "" {
		opts = append(opts, nats.RootCAs(c.TLS.CAFile))
	}
	if c.TLS.CertFile != "" {
		opts = append(opts, nats.ClientCert(c.TLS.CertFile, c.TLS.KeyFile))
	}
	login, err := natsLogin(c)
	return append(opts, login...), c.URL.Reveal(), err
}

// natsLogin is the one way in that the settings name.
func natsLogin(c config.NATS) ([]nats.Option, error) {
	switch {
	case c.Creds.IsSet():
		return []nats.Option{nats.UserCredentialBytes([]byte(c.Creds.Reveal()))}, nil
	case c.NKey.IsSet():
		pair, err := nkeys.FromSeed([]byte(c.NKey.Reveal()))
		if err != nil {
			return nil, config.Mistakef("nats.nkey: not a user seed: %w", err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, config.Mistakef("nats.nkey: %w", err)
		}
		return []nats.Option{nats.Nkey(public, pair.Sign)}, nil
	case c.User != "":
		return []nats.Option{nats.UserInfo(c.User, c.Password.Reveal())}, nil
	case c.Token.IsSet():
		return []nats.Option{nats.Token(c.Token.Reveal())}, nil
	default:
		return nil, nil
	}
}

// serversOfContext reports whether the servers are those of the context: as with the nats
// CLI, servers that were named beside it or after it go before.
func serversOfContext(c *config.Config) bool {
	return c.NATS.Context != "" && c.Origin("nats.url") == "default"
}

// dial opens the connection, through a context of the nats CLI when one is named.
func dial(of *config.Config, link *Link) (*nats.Conn, error) {
	c := of.NATS
	opts, servers, err := natsOptions(c, link)
	if err != nil {
		return nil, err
	}
	if c.Context != "" {
		if !serversOfContext(of) {
			opts = append(opts, func(o *nats.Options) error {
				o.Servers = strings.FieldsFunc(servers, func(r rune) bool { return r == ',' || r == ' ' })
				return nil
			})
		}
		conn, _, err := natscontext.Connect(c.Context, opts...)
		if err != nil {
			return nil, config.Mistakef("nats.context: %q: %w; see nats context ls", c.Context, err)
		}
		return conn, nil
	}
	conn, err := nats.Connect(servers, opts...)
	if err != nil {
		return nil, fmt.Errorf("nats: cannot connect to %s: %w", redactURLs(servers), err)
	}
	return conn, nil
}

// Connect connects as the configuration says and waits for the connection until ctx ends, for a
// program that does one thing: what becomes of the connection is logged at level debug while
// there was none, and a refusal ends the wait. Close the connection at the end.
func Connect(ctx context.Context, c *config.Config, log *slog.Logger) (*nats.Conn, jetstream.JetStream, error) {
	return newLink(log, c.NATS.URL.String(), false).connect(ctx, c)
}

// Connect connects as the configuration says and waits for the connection until ctx ends,
// however long. Three refusals in a row of the way in end the wait where there never was a
// connection. Close the connection at the end. Call it once.
func (l *Link) Connect(ctx context.Context, c *config.Config) (*nats.Conn, jetstream.JetStream, error) {
	servers := slog.Any("servers", c.NATS.URL)
	if serversOfContext(c) {
		servers = slog.String("context", c.NATS.Context)
	}
	l.log.Info("nats: connecting", servers)
	return l.connect(ctx, c)
}

func (l *Link) connect(ctx context.Context, c *config.Config) (*nats.Conn, jetstream.JetStream, error) {
	conn, err := dial(c, l)
	if err != nil {
		return nil, nil, err
	}
	l.opened(conn, serversOfContext(c))
	js, err := l.use(ctx, conn)
	if err != nil {
		conn.Close()
	}
	return conn, js, err
}

// Follow waits until ctx ends for a connection that somebody else has opened and will close,
// and follows it instead of one of its own. Call it once, and not after Connect.
func (l *Link) Follow(ctx context.Context, conn *nats.Conn) (jetstream.JetStream, error) {
	l.mu.Lock()
	l.given = true
	l.mu.Unlock()
	l.opened(conn, true)
	return l.use(ctx, conn)
}

// use waits for the connection.
func (l *Link) use(ctx context.Context, conn *nats.Conn) (jetstream.JetStream, error) {
	if err := l.await(ctx, conn); err != nil {
		return nil, fmt.Errorf("nats: cannot connect to %s: %w", l.servers, err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	return js, nil
}

// checkTLS says what is wrong with the files of the connection.
func checkTLS(c config.TLS) error {
	if err := pemfile.CheckCA("nats.tls.ca_file", c.CAFile); err != nil || c.CertFile == "" {
		return err
	}
	_, err := pemfile.ReadPair("nats.tls.cert_file", c.CertFile, "nats.tls.key_file", c.KeyFile)
	return err
}

// redactURLs shows servers without the user and password they may hold.
func redactURLs(servers string) string {
	list := strings.Split(servers, ",")
	for i, s := range list {
		if u, err := url.Parse(strings.TrimSpace(s)); err == nil {
			u.User = nil
			list[i] = u.String()
		}
	}
	return strings.Join(list, ",")
}
