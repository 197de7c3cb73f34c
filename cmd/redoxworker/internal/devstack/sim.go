package devstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// SimCommand runs the simulator of Redox alone.
type SimCommand struct {
	Listen       string        `default:"127.0.0.1:8467" placeholder:"HOST:PORT" help:"Address to listen on; port 0 takes a free one."`
	Profile      string        `default:"none" placeholder:"NAME" help:"Faults to begin with."`
	ClientID     string        `name:"client-id" placeholder:"ID" help:"OAuth client that may ask for tokens."`
	Key          []string      `placeholder:"FILE" help:"A key of the client: public or private PEM, or private JWK. Repeatable."`
	KID          string        `name:"kid" placeholder:"ID" help:"Key id of --key where the file names none."`
	JWKS         string        `name:"jwks" placeholder:"FILE" help:"The client's public keys as a JWK set."`
	JWKSURL      string        `name:"jwks-url" placeholder:"URL" help:"Where the simulator fetches the client's JWK set."`
	LegacyKey    string        `name:"legacy-key" placeholder:"KEY" help:"Legacy API key to accept, with --legacy-secret."`
	LegacySecret string        `name:"legacy-secret" placeholder:"SECRET" help:"Secret of the legacy API key."`
	UserClientID string        `name:"user-client-id" placeholder:"ID" help:"Client id of a user-level key, for the Platform API."`
	UserKey      []string      `name:"user-key" placeholder:"FILE" help:"A key of the user-level client, as --key. Repeatable."`
	Organization string        `placeholder:"ID" help:"The organization that the Platform API knows. Any by default."`
	SourceID     []string      `name:"source-id" placeholder:"ID" help:"Source ID to know; any is accepted when none is given. Repeatable."`
	TokenTTL     time.Duration `name:"token-ttl" default:"5m" help:"Life of a token."`
	simLimits
}

// Help is shown below the flags.
func (SimCommand) Help() string {
	return profileHelp() + `
While it runs, GET /_sim/arrivals, /_sim/stats and /_sim/windows show what it has seen: the last has the largest
number of requests of each client in any rolling window. POST /_sim/fault, /_sim/quota, /_sim/load, /_sim/revoke
and /_sim/keys change what it does, and POST /_sim/quota/restart starts the windows anew.

GET /_sim/logs shows what became of each message on its way to its destination, and GET /_sim/blobs the uploaded
files. POST /_sim/destinations/fail?id=ID lets every delivery to a destination fail, which pauses its queue while
Redox goes on accepting; heal ends that. POST /_sim/logs sets the state of a log, as {"id":"...","state":"failed"}.
`
}

// Run serves until a signal.
func (c SimCommand) Run(ctx context.Context, a *cli.App) error {
	if err := standsAlone(a, "sim"); err != nil {
		return err
	}
	if c.TokenTTL <= 0 {
		return cli.Usagef("--token-ttl: %s is no life; use 5m, as Redox does, or 4s", c.TokenTTL)
	}
	log, err := standaloneLogger(a, "info")
	if err != nil {
		return err
	}
	redox, err := c.server()
	if err != nil {
		return err
	}
	redox.TokenTTL, redox.Organization = c.TokenTTL, c.Organization
	keys, err := c.addKeys(redox)
	if err != nil {
		return err
	}
	for _, id := range c.SourceID {
		redox.AddSource(redoxsim.Source{ID: id})
	}
	sim, err := newSimulator(redox, c.Profile, "listen", c.Listen, log)
	if err != nil {
		return err
	}
	c.print(a, sim, keys)
	return sim.run(ctx)
}

// print says where the simulator is and how to use it.
func (c SimCommand) print(a *cli.App, s *simulator, keys []string) {
	if a.Globals.JSON {
		_ = json.NewEncoder(a.Stdout).Encode(map[string]any{ // a closed pipe is the reader's wish
			"url": s.url(), "token_url": s.url() + redoxsim.PathToken, "legacy_url": s.url() + "/auth", "profile": c.Profile, "keys": keys})
		return
	}
	a.Printf("A simulated Redox listens on %s (faults: %s). Stop it with Ctrl-C.\n\n", s.url(), c.Profile)
	if len(keys) == 0 {
		a.Printf("It accepts no key yet: start it with --client-id and --key FILE, or\n"+
			"  curl --data-binary @jwks.json '%s/_sim/keys?client_id=ID'\n\n", s.url())
	}
	for _, k := range keys {
		a.Printf("It accepts %s.\n", k)
	}
	a.Printf("In redoxworker.yaml, or as REDOXWORKER_REDOX_BASE_URL and _BLOB_URL:\n  redox: {base_url: %q, blob_url: %q}\n\n", s.url(), s.url())
	a.Printf("What it has seen, and trouble while it runs:\n  curl %s/_sim/stats\n  curl %s/_sim/arrivals\n  curl -d '{\"profile\":\"flaky\"}' %s/_sim/fault\n\n",
		s.url(), s.url(), s.url())
}

// simulator is a simulated Redox with a listener of its own.
type simulator struct {
	redox    *redoxsim.Server
	listener net.Listener
	log      *slog.Logger
}

// newSimulator opens the listener, so that the address is known before run. flag names the
// flag that holds the address.
func newSimulator(redox *redoxsim.Server, profile, flag, listen string, log *slog.Logger) (*simulator, error) {
	if err := redox.SetProfile(profile); err != nil {
		return nil, cli.Usagef("--profile: there is no %q; use one of %s", profile, strings.Join(redoxsim.Profiles(), ", "))
	}
	if redox.Quota.Limit > 0 { // what is asked for is more than what a profile says
		redox.SetQuota(redox.Quota)
	}
	if redox.Observe == nil {
		redox.Observe = logRequests(log)
	}
	listener, err := openListener(flag, listen)
	if err != nil {
		return nil, err
	}
	return &simulator{redox: redox, listener: listener, log: log}, nil
}

// openListener listens on the address of a flag.
func openListener(flag, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, cli.Usagef("--%s: %w; stop what is there, or choose another address such as 127.0.0.1:0", flag, err)
	}
	return listener, nil
}

// url of the simulator, as seen from this machine.
func (s *simulator) url() string { return "http://" + cli.Reachable(s.listener.Addr().String()) }

// simGrace is how long requests may take that are being answered when the simulator ends.
const simGrace = 2 * time.Second

// run answers until ctx ends, lets go of what hangs, and returns nil.
func (s *simulator) run(ctx context.Context) error {
	server := &http.Server{Handler: s.redox, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(s.listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("sim: %w", err)
	case <-ctx.Done():
	}
	s.redox.Release()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), simGrace)
	defer cancel()
	err := server.Shutdown(closing)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close() // somebody keeps a request open: the end is wanted all the same
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// close the listener of a simulator that never ran.
func (s *simulator) close() { _ = s.listener.Close() }
