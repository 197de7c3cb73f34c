// Package consolecmd serves the web console: as a command of its own, and beside what another command
// runs.
package consolecmd

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/sqlcmd"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/worker/console"
	"github.com/redoxworker/redoxworker/worker/service"
	"github.com/redoxworker/redoxworker/worker/service/httpserve"
	"github.com/redoxworker/redoxworker/worker/service/natslink"
	"github.com/redoxworker/redoxworker/worker/service/signin"
)

// Server is a listener for the console, and who may come in.
type Server struct {
	config   *config.Config
	log      *slog.Logger
	version  string
	listener net.Listener
	gate     *signin.Gate
	outbox   *sqloutbox.Outbox // nil where the settings have none
	db       *sql.DB           // of the outbox
	ready    func()            // is called when pages are served; nil for nobody
	// PublicKeys serves the public halves of the keys that sign here; nil where none do. Set it before Run.
	PublicKeys http.Handler
}

// mostClients is how many connections of browsers are open at once: each page that is looked at has one, and
// some to spare.
const mostClients = 256

// mostConnections is how many connections to the database of the outbox the console opens: the relay's are
// others.
const mostConnections = 2

// Open opens the listener that console.listen names; nil where it names none. Run or Close it.
func Open(ctx context.Context, c *config.Config, log *slog.Logger, version string) (*Server, error) {
	if c.Console.Listen == "" {
		return nil, nil
	}
	gate, err := signin.New(c.Console, log)
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, log: log, version: version, gate: gate}
	if s.db, err = sqlcmd.Open(c.Outbox); err != nil {
		return nil, err
	}
	if s.db != nil {
		s.db.SetMaxOpenConns(mostConnections)
		if s.outbox, err = service.NewOutbox(c, nil); err != nil {
			s.closeDatabase()
			return nil, err
		}
	}
	if s.listener, err = listen(ctx, c.Console.Listen); err != nil {
		s.closeDatabase()
		return nil, config.Mistakef("console.listen: %w; choose another address, or leave it empty for none", err)
	}
	return s, nil
}

func (s *Server) closeDatabase() {
	if s.db != nil {
		_ = s.db.Close()
	}
}

// unixPrefix begins an address that is the path of a socket.
const unixPrefix = "unix:"

// listen opens an address, or a socket in place of one that nobody listens to any more.
func listen(ctx context.Context, address string) (net.Listener, error) {
	path, socket := strings.CutPrefix(address, unixPrefix)
	if !socket {
		return net.Listen("tcp", address)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
	} else if errors.Is(err, syscall.ECONNREFUSED) { // a listener that is busy or closed to us answers otherwise
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
			_ = os.Remove(path)
		}
	}
	return net.Listen("unix", path)
}

// Close gives up a listener that was not run.
func (s *Server) Close() {
	_ = s.listener.Close()
	s.closeDatabase()
}

// Address is where browsers of this machine find the console.
func (s *Server) Address() string {
	if s.config.Console.PublicURL != "" {
		return s.config.Console.PublicURL + "/"
	}
	if s.listener.Addr().Network() == "unix" {
		return s.config.Console.Listen
	}
	return "http://" + cli.Reachable(s.listener.Addr().String()) + s.config.Console.BasePath + "/"
}

// Run serves until ctx ends. connect is called once; until it has returned, pages say that there is no
// connection. Its error, and that of the listener, end it. /livez and /readyz are answered to everybody.
func (s *Server) Run(ctx context.Context, connect func(context.Context) (*cli.Session, error)) error {
	defer s.closeDatabase()
	var pages atomic.Pointer[console.Console]
	var connected atomic.Pointer[cli.Session]
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if probe(w, r, connected.Load()) {
			return
		}
		if c := pages.Load(); c != nil {
			c.ServeHTTP(w, r)
			return
		}
		http.Error(w, "there is no connection to NATS yet", http.StatusServiceUnavailable)
	})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return httpserve.ServeUpTo(ctx, s.listener, handler, s.log, mostClients) })
	group.Go(func() error { return s.gate.Run(ctx) })
	group.Go(func() error {
		session, err := connect(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil // stopped while it still waited
			}
			return err
		}
		defer session.Close()
		c, err := console.New(console.Config{JS: session.JS, Prefix: session.Prefix, Ring: session.Ring(), RequireSeal: s.config.Seal.Require, Path: s.config.Console.BasePath, Guard: s.gate.Wrap, Topology: service.Topology(s.config),
			Outbox: s.outbox, Database: s.db, PublicKeys: s.PublicKeys, Settings: s.config, Keep: session.Keep(), Explain: session.Explain, Logger: s.log, Version: s.version})
		if err != nil {
			return err
		}
		pages.Store(c)
		connected.Store(session)
		if s.ready != nil {
			s.ready()
		}
		return c.Run(ctx)
	})
	return group.Wait()
}

// Beside serves the console beside a worker, over a connection of its own that may take its time. What
// ends it is logged: the worker goes on.
func (s *Server) Beside(ctx context.Context) {
	s.log.Info("web console", "address", s.Address())
	err := s.follow(ctx, s.config.ForConsole(), s.log.With("connection", "console"))
	if err != nil {
		s.log.Error("the web console ended; the worker goes on", "error", err)
	}
}

// follow serves the console over a connection of its own, which it waits for and looks after.
func (s *Server) follow(ctx context.Context, settings *config.Config, log *slog.Logger) error {
	link := natslink.New(log, settings.NATS.URL.String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return link.Watch(ctx) })
	group.Go(func() error {
		return s.Run(ctx, func(ctx context.Context) (*cli.Session, error) {
			conn, js, err := link.Connect(ctx, settings)
			if err != nil {
				return nil, err
			}
			return cli.NewSession(settings, conn, js), nil
		})
	})
	return group.Wait()
}
