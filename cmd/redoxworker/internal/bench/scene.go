package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

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
	*rig
	sources int
	admin   string // address of the worker's pages
	worker  *process
	traffic *sceneTraffic
}

// The two sources that meet trouble.
const (
	sceneKeyed = 0 // with a key of its own
	sceneOne   = 1
)

// sceneOwnKey is the client id of the first source's key.
const sceneOwnKey = "own"

// open starts everything and waits until the worker is ready. quota is that of the configuration.
func (f sceneFleet) open(ctx context.Context, a *cli.App, sources int, quota string) (_ *scene, err error) {
	r, err := newRig(a, sceneOwnKey, sharedKey)
	if err != nil {
		return nil, err
	}
	s := &scene{rig: r, sources: sources}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	address, err := s.startNATS(ctx, f.NATSServer)
	if err != nil {
		return nil, err
	}
	if err := s.connect(ctx, address, topology.Topology{}); err != nil {
		return nil, err
	}
	if err := s.startSim(ctx, f.Latency); err != nil {
		return nil, err
	}
	ports, err := natsdev.FreePorts(1)
	if err != nil {
		return nil, err
	}
	s.admin = fmt.Sprintf("127.0.0.1:%d", ports[0])
	lines := strings.Replace(sourceLines(sources), sourceLine(sceneKeyed, sharedKey), sourceLine(sceneKeyed, sceneOwnKey), 1)
	further := append([]string{"quota: " + quota, fmt.Sprintf("admin: {listen: %q}", s.admin)}, f.Settings...)
	if err := s.configure(address, s.sim, lines, further...); err != nil {
		return nil, err
	}
	if s.worker, err = s.start(ctx, roleWorker, "--config", s.config); err != nil {
		return nil, err
	}
	if s.traffic, err = newSceneTraffic(s); err != nil {
		return nil, err
	}
	return s, s.worker.await(ctx, "http://"+s.admin+"/readyz")
}

// startNATS starts a server and answers its URL.
func (s *scene) startNATS(ctx context.Context, binary string) (string, error) {
	if binary == "" {
		at, err := s.startStand(ctx, 0)
		return at.NATS, err
	}
	server, err := startServer(ctx, s.app, binary, "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", filepath.Join(s.dir, "js"), "--ports_file_dir", s.dir)
	if err != nil {
		return "", err
	}
	s.stops = append(s.stops, server.stop)
	var ports struct {
		NATS []string `json:"nats"`
	}
	file := filepath.Join(s.dir, fmt.Sprintf("%s_%d.ports", filepath.Base(binary), server.cmd.Process.Pid))
	if err := server.until(ctx, func() error {
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &ports)
		}
		if err == nil && len(ports.NATS) == 0 {
			err = errors.New("no address in it yet")
		}
		return err
	}); err != nil {
		return "", err
	}
	return ports.NATS[0], nil
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
