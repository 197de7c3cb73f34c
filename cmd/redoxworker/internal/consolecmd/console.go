package consolecmd

import (
	"context"
	"encoding/json"
	"net"
	"strings"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

// Command serves the console alone.
type Command struct {
	Listen string `placeholder:"HOST:PORT" help:"Where to serve it: console.listen by default, and where that is empty 127.0.0.1:8468."`
}

// defaultListen is where it is served unless somebody says otherwise.
const defaultListen = "127.0.0.1:8468"

// Run serves it until a signal. It needs the rights of the operator at NATS, for which it waits.
func (c Command) Run(ctx context.Context, a *cli.App) error {
	settings, err := a.Load(cli.NATSOnly)
	if err != nil {
		return err
	}
	log, err := a.Logger(settings.Log)
	if err != nil {
		return err
	}
	if err := c.place(&settings.Console); err != nil {
		return err
	}
	token := once(&settings.Console)
	s, err := Open(ctx, settings, log, a.Version)
	if err != nil {
		return err
	}
	s.ready = func() { c.tell(a, s, token) }
	return s.follow(ctx, connection(settings), log)
}

// connection are the settings of the one that the console opens: that of the flags where they name a
// server or a user, else its own.
func connection(settings *config.Config) *config.Config {
	for _, key := range []string{"nats.url", "nats.context", "nats.user", "nats.creds_file", "nats.nkey_file", "nats.creds", "nats.nkey", "nats.token", "nats.token_file"} {
		if settings.Origin(key) == "command line" {
			return settings
		}
	}
	return settings.ForConsole()
}

// place says where to listen. What is not configured is served to this machine alone.
func (c Command) place(s *config.Console) error {
	switch {
	case strings.HasPrefix(c.Listen, unixPrefix):
		s.Listen = c.Listen
	case c.Listen != "":
		host, _, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return cli.Usagef("--listen: %w; write host:port", err)
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) && !s.BehindProxy {
			return cli.Usagef("--listen: %s would serve the console over plain http to other machines; listen on 127.0.0.1, or put a proxy with TLS in front and set console.behind_proxy", c.Listen)
		}
		s.Listen = c.Listen
	case s.Listen == "":
		s.Listen = defaultListen
	}
	return nil
}

// once makes a token for who starts the command, where nobody else could sign in.
func once(s *config.Console) (token string) {
	if s.Auth != config.ConsoleToken || len(s.Tokens) > 0 {
		return ""
	}
	name := strings.NewReplacer(" ", "-", "=", "-").Replace(cli.OperatorName())
	token, hash := access.NewToken()
	s.Tokens, s.Admins = []string{name + "=" + hash}, append(s.Admins, name)
	return token
}

// tell says where it is, and opens nothing.
func (c Command) tell(a *cli.App, s *Server, token string) {
	if a.Globals.JSON {
		line := map[string]string{"event": "listening", "console": s.Address()}
		if token != "" {
			line["token"] = token
		}
		_ = json.NewEncoder(a.Stdout).Encode(line) // a closed pipe is the reader's wish
		return
	}
	a.Printf("console  %s\n", s.Address())
	if token != "" {
		a.Printf("token    %s\n         of an admin, as long as this runs; console.tokens names others\n", token)
	}
}
