package main

import (
	"context"
	"errors"
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
)

// natsOptions turns the settings into options of the client, and answers the servers.
//
// The client's defaults give up after 60 reconnects and notice a dead peer after minutes;
// a worker waits for ever and notices within 40 s. Permission violations arrive on the
// connection and not as an answer, so they are logged here.
func natsOptions(c config.NATS, link *natsLink) ([]nats.Option, string, error) {
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
			return nil, usagef("nats.nkey: not a user seed: %w", err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, usagef("nats.nkey: %w", err)
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
func dial(of *config.Config, link *natsLink) (*nats.Conn, error) {
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
			return nil, usagef("nats.context: %q: %w; see nats context ls", c.Context, err)
		}
		return conn, nil
	}
	conn, err := nats.Connect(servers, opts...)
	if err != nil {
		return nil, fmt.Errorf("nats: cannot connect to %s: %w", redactURLs(servers), err)
	}
	return conn, nil
}

// connect to NATS as the configuration says and wait for the connection until ctx ends.
func connect(ctx context.Context, c *config.Config, log *slog.Logger) (*nats.Conn, jetstream.JetStream, error) {
	return connectBy(ctx, c, newNATSLink(log, c.NATS.URL.String(), false))
}

// connectBy is connect for one who follows what becomes of the connection.
func connectBy(ctx context.Context, c *config.Config, link *natsLink) (*nats.Conn, jetstream.JetStream, error) {
	conn, err := dial(c, link)
	if err != nil {
		return nil, nil, err
	}
	link.opened(conn, serversOfContext(c))
	if err := link.await(ctx, conn); err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("nats: cannot connect to %s: %w", link.servers, err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("nats: %w", err)
	}
	return conn, js, nil
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

// connectTimeout is how long a command that does one thing waits for NATS.
const connectTimeout = 5 * time.Second

// connectOnce connects for a command that does one thing: it gives up after a few
// seconds, where a daemon waits.
func connectOnce(ctx context.Context, c *config.Config, log *slog.Logger) (*nats.Conn, jetstream.JetStream, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, errors.New("no connection within 5s; is the server running, and are url and credentials right?"))
	defer cancel()
	return connect(ctx, c, log)
}
