package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// sceneFleet are the flags about the fleet that a scene has.
type sceneFleet struct {
	Latency    time.Duration `default:"20ms" placeholder:"TIME" help:"What the simulated Redox takes to answer: ${default}."`
	NATSServer string        `name:"nats-server" placeholder:"FILE" type:"existingfile" help:"A nats-server to start with its defaults, on disk; by default one inside of a child process."`
	Settings   []string      `name:"with" sep:"none" placeholder:"YAML" help:"Further lines of the worker's configuration. Repeatable."`
}

// scene is one worker with many sources, on a NATS server and a simulated Redox of its
// own, each a process. The first source has a key of its own; the second, and all others, share one.
type scene struct {
	app     *cli.App
	sources int
	config  string // file
	admin   string // address of the worker's pages
	sim     string // URL
	http    http.Client
	conn    *nats.Conn
	js      jetstream.JetStream
	worker  *childProcess
	keys    map[string]auth.Key // by client id
	traffic *sceneTraffic

	stops []func() error // what end stops, the last one first
}

// The two sources that meet trouble.
const (
	sceneKeyed = 0 // with a key of its own
	sceneOne   = 1
)

// Client ids of the two keys.
const (
	sceneOwnKey    = "own"
	sceneSharedKey = "main"
)

// open starts everything and waits until the worker is ready. quota is a line of configuration.
func (f sceneFleet) open(ctx context.Context, a *cli.App, sources int, quota string) (_ *scene, err error) {
	s := &scene{app: a, sources: sources, keys: map[string]auth.Key{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	dir, err := os.MkdirTemp("", "redoxworker-bench-")
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, func() error { return os.RemoveAll(dir) })
	address, err := s.startNATS(ctx, f.NATSServer, dir)
	if err != nil {
		return nil, err
	}
	if err := s.connect(ctx, address); err != nil {
		return nil, err
	}
	if err := s.startSim(ctx, dir); err != nil {
		return nil, err
	}
	if err := s.answerIn(ctx, f.Latency); err != nil {
		return nil, err
	}
	ports, err := natsdev.FreePorts(1)
	if err != nil {
		return nil, err
	}
	s.admin = fmt.Sprintf("127.0.0.1:%d", ports[0])
	s.config = filepath.Join(dir, "redoxworker.yaml")
	text := s.configuration(address, dir, quota) + strings.Join(f.Settings, "\n") + "\n"
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if s.worker, err = startChild(ctx, a, roleWorker, "--config", s.config); err != nil {
		return nil, err
	}
	s.stops = append(s.stops, s.worker.stop)
	if s.traffic, err = newSceneTraffic(s); err != nil {
		return nil, err
	}
	return s, s.ready(ctx)
}

// configuration is what a user would write; everything else is at its default.
func (s *scene) configuration(address, dir, quota string) string {
	var sources strings.Builder
	for n := range s.sources {
		key := sceneSharedKey
		if n == sceneKeyed {
			key = sceneOwnKey
		}
		fmt.Fprintf(&sources, "  %s: {id: %s, key: %s}\n", sourceName(n), sourceID(n), key)
	}
	var keys strings.Builder
	for client := range s.keys {
		fmt.Fprintf(&keys, "  %s: {client_id: %s, kid: %s, private_key_file: %q}\n", client, client, client, filepath.Join(dir, client+".pem"))
	}
	return fmt.Sprintf("nats: {url: %q}\nredox: {base_url: %q}\nkeys:\n%ssources:\n%squota: %s\nadmin: {listen: %q}\nlog: {format: json}\n",
		address, s.sim, keys.String(), sources.String(), quota, s.admin)
}

// startNATS starts a server and answers its URL.
func (s *scene) startNATS(ctx context.Context, binary, dir string) (string, error) {
	if binary == "" {
		stand, err := startChild(ctx, s.app, roleStand)
		if err != nil {
			return "", err
		}
		s.stops = append(s.stops, stand.stop)
		var at standAddresses
		err = stand.line(&at)
		return at.NATS, err
	}
	server, err := startProcess(ctx, s.app, dir, "server", binary, "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", filepath.Join(dir, "js"), "--ports_file_dir", dir)
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	s.stops = append(s.stops, func() error { _, err := server.stop(); return err })
	ctx, cancel := context.WithTimeoutCause(ctx, stepPatience, errTimeout)
	defer cancel()
	var ports struct {
		NATS []string `json:"nats"`
	}
	file := filepath.Join(dir, fmt.Sprintf("%s_%d.ports", filepath.Base(binary), server.cmd.Process.Pid))
	if err := server.until(ctx, func() bool {
		text, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(text, &ports) == nil && len(ports.NATS) > 0
	}); err != nil {
		return "", fmt.Errorf("bench: %s is not up: %w", binary, err)
	}
	return ports.NATS[0], nil
}

func (s *scene) connect(ctx context.Context, address string) (err error) {
	if s.conn, err = nats.Connect(address); err != nil {
		return err
	}
	s.stops = append(s.stops, func() error { s.conn.Close(); return nil })
	if s.js, err = jetstream.New(s.conn, jetstream.WithPublishAsyncMaxPending(1000)); err != nil {
		return err
	}
	_, err = (topology.Topology{}).Ensure(ctx, s.js)
	return err
}

// startSim starts the simulated Redox and makes its keys known to it.
func (s *scene) startSim(ctx context.Context, dir string) error {
	sim, err := startChild(ctx, s.app, roleSim)
	if err != nil {
		return err
	}
	s.stops = append(s.stops, sim.stop)
	var at struct {
		URL string `json:"url"`
	}
	if err := sim.line(&at); err != nil {
		return err
	}
	s.sim = at.URL
	for _, client := range []string{sceneOwnKey, sceneSharedKey} {
		key, err := auth.GenerateKey(auth.ES384, client)
		if err != nil {
			return err
		}
		if err := auth.WriteKeyFile(filepath.Join(dir, client+".pem"), key); err != nil {
			return err
		}
		s.keys[client] = key
		if err := s.allow(ctx, client); err != nil {
			return err
		}
	}
	return nil
}

// allow has the simulator accept a key.
func (s *scene) allow(ctx context.Context, client string) error {
	set, err := auth.JWKS(s.keys[client])
	if err != nil {
		return err
	}
	_, err = s.ask(ctx, http.MethodPost, "keys?client_id="+client, json.RawMessage(set))
	return err
}

// answerIn has the simulator take so long to answer.
func (s *scene) answerIn(ctx context.Context, latency time.Duration) error {
	_, err := s.ask(ctx, http.MethodPost, "load", redoxsim.Load{Base: latency})
	return err
}

// rules puts faults in force; none end those there are.
func (s *scene) rules(ctx context.Context, rules ...redoxsim.Rule) error {
	setting := map[string]any{"profile": "none"}
	if len(rules) > 0 {
		setting = map[string]any{"rules": rules}
	}
	_, err := s.ask(ctx, http.MethodPost, "fault", setting)
	return err
}

// ask sends a request to the routes of the simulator itself.
func (s *scene) ask(ctx context.Context, method, route string, body any) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, s.sim+redoxsim.PathAdmin+route, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	response, err := s.http.Do(request)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("bench: the simulator answered %s %s with %s: %s", method, route, response.Status, answer)
	}
	return answer, err
}

// readyz asks the worker how it is.
func (s *scene) readyz(ctx context.Context) (state service.Status, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/readyz", nil)
	if err != nil {
		return state, err
	}
	response, err := s.http.Do(request)
	if err != nil {
		return state, err
	}
	return state, errors.Join(json.NewDecoder(response.Body).Decode(&state), response.Body.Close())
}

// ready waits until the worker is.
func (s *scene) ready(ctx context.Context) error {
	err := eventually(ctx, stepPatience, func() error {
		state, err := s.readyz(ctx)
		if err == nil && !state.Ready {
			err = errors.New("it is not ready: " + state.WaitsFor)
		}
		return err
	})
	if err != nil {
		return s.worker.failed(err)
	}
	return nil
}

// command runs another command of this binary, for the fleet, and answers what it printed.
func (s *scene) command(ctx context.Context, args ...string) (string, error) {
	cmd, err := itself(ctx, s.app, append(args, "--config", s.config)...)
	if err != nil {
		return "", err
	}
	var stderr tail
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("bench: redoxworker %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}

// end stops everything.
func (s *scene) end() (err error) {
	for len(s.stops) > 0 {
		n := len(s.stops) - 1
		err, s.stops = errors.Join(err, s.stops[n]()), s.stops[:n]
	}
	return err
}
