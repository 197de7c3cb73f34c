package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/consolecmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/daemon"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// stackOptions are what demo and dev differ in.
type stackOptions struct {
	dir         string // "" means a temporary one, removed by close
	natsListen  string // host:port, each; port 0 takes a free one
	simListen   string
	adminListen string // "off" means none
	webListen   string // of the console; "off" or "" means none
	writeConfig string // file for the configuration; "" means one in the directory
	profile     string
	platform    bool           // with a user-level key for the Platform API
	logLevel    string         // unless the user has set one
	flags       map[string]any // settings over those of the configuration file
	redox       *redoxsim.Server
	observe     func(worker.Event)
}

// stack is a NATS server, a simulated Redox and a worker with all that belongs to it, in
// this process and configured by a file that other processes can use too.
type stack struct {
	files     devFiles
	temporary bool
	lock      io.Closer // of a directory that is not temporary
	config    *config.Config
	log       *slog.Logger
	nats      *natsdev.Server
	sim       *simulator
	conn      *nats.Conn
	js        jetstream.JetStream
	service   *service.Service
	console   *consolecmd.Server // nil for none
}

// newStack starts NATS, with streams and consumers, and opens the listeners. What it opened
// is closed by close, also after an error.
func newStack(ctx context.Context, a *cli.App, o stackOptions) (*stack, error) {
	s := &stack{}
	if err := s.open(ctx, a, o); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stack) open(ctx context.Context, a *cli.App, o stackOptions) (err error) {
	if s.log, err = standaloneLogger(a, o.logLevel); err != nil {
		return err
	}
	if err := s.openDir(o.dir); err != nil {
		return err
	}
	// All addresses are tried before anything starts.
	if s.sim, err = newSimulator(o.redox, o.profile, "sim-listen", o.simListen, s.log); err != nil {
		return err
	}
	admin, err := freeAddressFor("admin-listen", o.adminListen)
	if err != nil {
		return err
	}
	if err := s.openNATS(o.natsListen); err != nil {
		return err
	}
	if err := s.configure(a, o, admin); err != nil {
		return err
	}
	if err := s.registerAtSim(); err != nil {
		return err
	}
	if s.conn, s.js, err = cli.ConnectOnce(ctx, s.config, s.log); err != nil {
		return err
	}
	if _, err := service.Topology(s.config).Ensure(ctx, s.js); err != nil {
		return err
	}
	if s.service, err = service.New(*s.config, service.Options{Logger: s.log, Registerer: daemon.NewRegistry(), Observe: o.observe, Version: a.Version}); err != nil {
		return err
	}
	return s.openConsole(ctx, o.webListen, a.Version)
}

// openConsole opens the listener of the console, to which whoever is on this machine is an admin.
func (s *stack) openConsole(ctx context.Context, listen, version string) (err error) {
	if listen == "off" || listen == "" {
		return nil
	}
	if host, _, err := net.SplitHostPort(listen); err != nil || !net.ParseIP(host).IsLoopback() {
		return cli.Usagef("--console-listen: %s: write host:port with an address of this machine alone, such as 127.0.0.1:8468; off for none", listen)
	}
	if listen, err = freeAddressFor("console-listen", listen); err != nil {
		return err
	}
	c := *s.config
	c.Console.Listen, c.Console.Auth = listen, config.ConsoleNone
	s.console, err = consolecmd.Open(ctx, &c, s.log, version)
	return err
}

func (s *stack) openDir(dir string) (err error) {
	if dir == "" {
		s.temporary = true
		if dir, err = os.MkdirTemp("", "redoxworker-dev-"); err != nil {
			return err
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if !s.temporary { // two servers on one store would destroy it
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return cli.Usagef("--dir: %w; name a directory that you may write to", err)
		}
		s.lock, err = cli.LockFile(filepath.Join(dir, "dev.lock"))
		if errors.Is(err, cli.ErrLocked) {
			return cli.Usagef("--dir: %s is in use by another redoxworker dev; stop that, or choose another", dir)
		}
		if err != nil {
			return cli.Usagef("--dir: %w; name a directory that you may write to", err)
		}
	}
	s.files, err = newDevFiles(dir)
	return err
}

// freeAddressFor resolves an address that something else will listen on in a moment, and
// finds out whether it is taken.
func freeAddressFor(flag, address string) (string, error) {
	if address == "off" {
		return address, nil
	}
	listener, err := openListener(flag, address)
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// openNATS starts the server. A free port is the server's own choice, so that nobody can
// take it in between.
func (s *stack) openNATS(listen string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return cli.Usagef("--nats-listen: %w; write host:port", err)
	}
	number := -1
	if port != "0" {
		if listen, err = freeAddressFor("nats-listen", listen); err != nil {
			return err
		}
		if host, port, err = net.SplitHostPort(listen); err != nil {
			return err
		}
		if number, err = strconv.Atoi(port); err != nil {
			return err
		}
	}
	s.nats, err = natsdev.Start(natsdev.Options{Dir: s.files.dir, Host: host, Port: number})
	return err
}

// natsURL is where NATS is reached from this machine.
func (s *stack) natsURL() string {
	return "nats://" + cli.Reachable(strings.TrimPrefix(s.nats.URL(), "nats://"))
}

// configure writes the configuration file and reads it back: what runs here is what others
// are given.
func (s *stack) configure(a *cli.App, o stackOptions, admin string) (err error) {
	if o.writeConfig != "" {
		if s.files.config, err = filepath.Abs(o.writeConfig); err != nil {
			return err
		}
	}
	if err := writeConfig(s.files.config, s.files.configText(s.natsURL(), s.sim.url(), admin, o.platform)); err != nil {
		return cli.Usagef("--write-config: %w", err)
	}
	environ, flags := logSettings(a, o.logLevel)
	maps.Copy(flags, o.flags)
	s.config, err = config.Load(config.Options{File: s.files.config, Environ: environ, Flags: flags})
	return err
}

// registerAtSim makes the key and the sources known to the simulated Redox. The key pair
// serves the organization and, under another client id, the user of the Platform API.
func (s *stack) registerAtSim() error {
	key, err := auth.ReadKeyFile(s.files.key, devKID)
	if err != nil {
		return err
	}
	for name, source := range s.config.Sources {
		if s.config.Keys[source.Key].Type == config.KeyUser { // Redox knows no source of these
			continue
		}
		s.sim.redox.AddSource(redoxsim.Source{ID: source.ID, Name: name, Environment: fhirEnvironment(source.Environment)})
	}
	return errors.Join(s.sim.redox.AddOAuthKey(devClientID, devKID, key.Public()), s.sim.redox.AddUserKey(devUserClientID, devKID, key.Public()))
}

// fhirEnvironment is an environment as FHIR paths name it.
func fhirEnvironment(environment string) string {
	if environment == "" {
		return ""
	}
	return strings.ToUpper(environment[:1]) + environment[1:]
}

// run delivers until ctx ends. The worker drains before the simulator stops answering.
func (s *stack) run(ctx context.Context) error {
	answering, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group errgroup.Group
	group.Go(func() error {
		err := s.sim.run(answering)
		cancel(err)
		return err
	})
	if s.console != nil {
		group.Go(func() error {
			return s.console.Run(answering, func(ctx context.Context) (*cli.Session, error) {
				conn, js, err := cli.ConnectOnce(ctx, s.config, s.log)
				if err != nil {
					return nil, err
				}
				return cli.NewSession(s.config, conn, js), nil
			})
		})
	}
	err := s.service.Run(ctx)
	stop()
	return errors.Join(err, group.Wait())
}

// close ends what run did not, and removes a temporary directory.
func (s *stack) close() {
	if s.service != nil {
		s.service.Close()
	}
	if s.console != nil {
		s.console.Close()
	}
	if s.conn != nil {
		s.conn.Close()
	}
	if s.nats != nil {
		if err := s.nats.Shutdown(); err != nil {
			s.log.Warn("stopping NATS", "error", err)
		}
	}
	if s.sim != nil {
		s.sim.close()
	}
	if s.lock != nil {
		_ = s.lock.Close()
	}
	if s.temporary && s.files.dir != "" {
		if err := os.RemoveAll(s.files.dir); err != nil {
			s.log.Warn("removing the temporary directory", "error", err)
		}
	}
}

// stored counts the messages of a stream.
func (s *stack) stored(ctx context.Context, stream string) (uint64, error) {
	found, err := s.js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	return found.CachedInfo().State.Msgs, nil
}
