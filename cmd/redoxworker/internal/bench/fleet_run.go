package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// fleetFigure is something that was measured.
type fleetFigure struct {
	Where string  `json:"where"` // in what state
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Aim   float64 `json:"aim,omitempty"` // the most that it should be; 0: nobody says
}

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

// consumers counts those of the queue.
func (f *fleetRun) consumers(ctx context.Context) (float64, error) {
	stream, err := f.conn.js.Stream(ctx, contract.Prefix("").OutStream())
	if err != nil {
		return 0, err
	}
	return float64(stream.CachedInfo().State.Consumers), nil
}

// emptied waits until the queue holds nothing.
func (f *fleetRun) emptied(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		stream, err := f.conn.js.Stream(ctx, contract.Prefix("").OutStream())
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return false, err
		}
		return err == nil && stream.CachedInfo().State.Msgs == 0, nil
	})
}
