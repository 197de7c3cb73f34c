package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// fleetFlags are the flags of what a fleet of many sources costs as a whole: the server on disk,
// a worker and the simulator, each a process of its own as a user starts it.
type fleetFlags struct {
	Fleet      bool          `help:"Instead: what --sources with messages and --idle ones cost beside NATS on disk and the simulator: starts, stops, memory, consumers, rate, and what goes on when all is quiet. Linux only."`
	NATSServer string        `name:"nats-server" placeholder:"PROGRAM" help:"The nats-server of --fleet; by default the one that is built in, as a process."`
	Backlog    int           `default:"100000" placeholder:"N" help:"Messages that wait while the server of --fleet is stopped and started: ${default}."`
	Quiet      time.Duration `default:"1m" placeholder:"TIME" help:"How long --fleet watches what has nothing to do: ${default}."`

	// Port is where the built-in server listens.
	Port int `hidden:""`
}

// fleetFigure is something that was measured.
type fleetFigure struct {
	Where string  `json:"where"` // in what state
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Aim   float64 `json:"aim,omitempty"` // the most that it should be; 0: nobody says
}

// fleetAims are what a figure should not exceed, wherever it is measured.
var fleetAims = map[string]float64{
	fleetReady: 5, fleetServerRSS: 300, fleetConsumers: 700, fleetStop: 10, fleetRestart: 5,
	fleetServerCPU: 1, fleetWorkerCPU: 1, fleetMessages: 30, fleetLoss: 20, fleetChange: 2,
}

const (
	fleetReady     = "worker started until ready"
	fleetChange    = "a source added until its first message is answered"
	fleetServerRSS = "server memory, peak"
	fleetWorkerRSS = "worker memory, peak"
	fleetServerCPU = "quiet: server, of a core"
	fleetWorkerCPU = "quiet: worker, of a core"
	fleetMessages  = "quiet: NATS messages in and out"
	fleetConsumers = "consumers"
	fleetLoss      = "rate lost by the number of sources"
	fleetStop      = "server stopped"
	fleetRestart   = "server started until ready"
)

// fleetRun is one measurement of a fleet.
type fleetRun struct {
	bench *loopCommand
	app   *cli.App
	dir   string
	key   string // file
	ports []int  // of NATS, and of its monitoring

	server, sim, worker *process
	simURL, admin       string
	conn                *fleetConn

	figures []fleetFigure
}

// fleet measures and prints, also what it had when it failed.
func (b *loopCommand) fleet(ctx context.Context, a *cli.App) error {
	figures, err := b.measureFleet(ctx, a)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	switch {
	case len(figures) == 0:
	case a.Globals.JSON:
		err = errors.Join(err, json.NewEncoder(a.Stdout).Encode(figures))
	default:
		a.Printf("%s\n", fleetTable(figures))
	}
	return err
}

func (b *loopCommand) measureFleet(ctx context.Context, a *cli.App) (figures []fleetFigure, err error) {
	dir, err := os.MkdirTemp("", "redoxworker-bench-")
	if err != nil {
		return nil, err
	}
	f := &fleetRun{bench: b, app: a, dir: dir, key: filepath.Join(dir, "key.pem")}
	defer func() { err = errors.Join(err, f.close(), os.RemoveAll(dir)) }()
	key, err := auth.GenerateKey(auth.ES384, "bench")
	if err != nil {
		return nil, err
	}
	if err := auth.WriteKeyFile(f.key, key); err != nil {
		return nil, err
	}
	progress := newLoopProgress(a, 1)
	defer progress.end()
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"starting", f.start},
		{"sources in the registry", f.inRegistry},
		{"sources in sources_dir", f.inDirectory},
		{"sources in the main file", f.inMainFile},
		{"messages", f.busy},
		{"quiet", func(ctx context.Context) error { return f.quiet(ctx, "after messages") }},
		{"server stopped and started", f.restarted},
	} {
		progress.show("%s", step.name)
		if err := step.run(ctx); err != nil {
			return f.figures, fmt.Errorf("bench: %s: %w", step.name, err)
		}
	}
	return f.figures, nil
}

// start starts NATS and the simulator.
func (f *fleetRun) start(ctx context.Context) (err error) {
	if f.ports, err = natsdev.FreePorts(2); err != nil {
		return err
	}
	text := fmt.Sprintf("listen: \"127.0.0.1:%d\"\nhttp: \"127.0.0.1:%d\"\njetstream {store_dir: %q}\n", f.ports[0], f.ports[1], filepath.Join(f.dir, "jetstream"))
	if err := os.WriteFile(filepath.Join(f.dir, "nats.conf"), []byte(text), 0o600); err != nil {
		return err
	}
	if _, err := f.startServer(ctx); err != nil {
		return err
	}
	if f.sim, err = startProcess(ctx, f.app, f.dir, "sim", "", "sim", "--listen", "127.0.0.1:0", "--client-id", "bench", "--key", f.key, "--kid", "bench", "--json",
		"--latency", f.bench.Latency.String()); err != nil {
		return err
	}
	if f.simURL, err = f.sim.says(ctx, "url"); err != nil {
		return err
	}
	if f.conn, err = openFleetConn(f.natsURL()); err != nil {
		return err
	}
	_, err = (topology.Topology{Registry: true}).Ensure(ctx, f.conn.js)
	return err
}

// startServer starts NATS and says how long that took.
func (f *fleetRun) startServer(ctx context.Context) (took time.Duration, err error) {
	config, from := filepath.Join(f.dir, "nats.conf"), time.Now()
	if f.bench.NATSServer == "" {
		f.server, err = startProcess(ctx, f.app, f.dir, "server", "", "bench", "--role", string(roleServer), "--config", config, "--port", fmt.Sprint(f.ports[0]))
	} else {
		f.server, err = startProcess(ctx, f.app, f.dir, "server", f.bench.NATSServer, "-c", config)
	}
	if err != nil {
		return 0, err
	}
	err = f.server.await(ctx, fmt.Sprintf("http://127.0.0.1:%d/healthz", f.ports[1]))
	return time.Since(from), err
}

func (f *fleetRun) natsURL() string { return fmt.Sprintf("nats://127.0.0.1:%d", f.ports[0]) }

// close ends what runs.
func (f *fleetRun) close() (err error) {
	if f.conn != nil {
		f.conn.close()
	}
	for _, p := range []*process{f.worker, f.sim, f.server} {
		if p != nil {
			_, end := p.stop()
			err = errors.Join(err, end)
		}
	}
	return err
}

func (f *fleetRun) figure(where, what, unit string, value float64) {
	f.figures = append(f.figures, fleetFigure{where, what, value, unit, fleetAims[what]})
}

func (f *fleetRun) seconds(where, what string, d time.Duration) {
	f.figure(where, what, "s", d.Seconds())
}

// server is the role of the built-in server: it runs until ctx ends.
func (b *loopCommand) server(ctx context.Context, a *cli.App) error {
	server, err := natsdev.Start(natsdev.Options{ConfigFile: a.Globals.ConfigFile, Port: b.Port})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return server.Shutdown()
}

// consumers counts those of the queue.
func (f *fleetRun) consumers(ctx context.Context) (float64, error) {
	stream, err := f.conn.js.Stream(ctx, outbox.Prefix("").OutStream())
	if err != nil {
		return 0, err
	}
	return float64(stream.CachedInfo().State.Consumers), nil
}

// emptied waits until the queue holds nothing.
func (f *fleetRun) emptied(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		stream, err := f.conn.js.Stream(ctx, outbox.Prefix("").OutStream())
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return false, err
		}
		return err == nil && stream.CachedInfo().State.Msgs == 0, nil
	})
}

// fleetTable shows figures to a person.
func fleetTable(figures []fleetFigure) string {
	t := newTable()
	t.AppendHeader(table.Row{"", "figure", "value", "unit", "at most"})
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 1, AutoMerge: true}, {Number: 3, Align: text.AlignRight}, {Number: 5, Align: text.AlignRight}})
	for _, f := range figures {
		aim := ""
		if f.Aim > 0 {
			aim = fmt.Sprintf("%g", f.Aim)
			if f.Value > f.Aim {
				aim += " missed"
			}
		}
		t.AppendRow(table.Row{f.Where, f.What, fmt.Sprintf("%.4g", f.Value), f.Unit, aim})
	}
	return t.Render()
}
