package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

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
	rig   *rig
	ports []int // of NATS, of its monitoring, and of the worker's pages

	server, worker *process

	figures []fleetFigure
}

// start starts NATS and the simulator.
func (f *fleetRun) start(ctx context.Context) (err error) {
	if f.ports, err = natsdev.FreePorts(3); err != nil {
		return err
	}
	text := fmt.Sprintf("listen: \"127.0.0.1:%d\"\nhttp: \"127.0.0.1:%d\"\njetstream {store_dir: %q}\n", f.ports[0], f.ports[1], filepath.Join(f.rig.dir, "jetstream"))
	if err := os.WriteFile(f.serverConfig(), []byte(text), 0o600); err != nil {
		return err
	}
	if err := f.startServer(ctx); err != nil {
		return err
	}
	if err := f.rig.startSim(ctx, f.bench.Latency); err != nil {
		return err
	}
	return f.rig.connect(ctx, f.natsURL(), topology.Topology{Registry: true})
}

// startServer starts NATS and waits until it is up.
func (f *fleetRun) startServer(ctx context.Context) (err error) {
	if f.bench.NATSServer == "" {
		f.server, err = startRole(ctx, f.rig.app, roleServer, "--config", f.serverConfig(), "--port", fmt.Sprint(f.ports[0]))
	} else {
		f.server, err = startServer(ctx, f.rig.app, f.bench.NATSServer, "-c", f.serverConfig())
	}
	if err != nil {
		return err
	}
	return f.server.await(ctx, f.monitor("healthz"))
}

func (f *fleetRun) serverConfig() string { return filepath.Join(f.rig.dir, "nats.conf") }

func (f *fleetRun) natsURL() string { return fmt.Sprintf("nats://127.0.0.1:%d", f.ports[0]) }

// monitor is a page of the server.
func (f *fleetRun) monitor(page string) string {
	return fmt.Sprintf("http://127.0.0.1:%d/%s", f.ports[1], page)
}

// admin is the address of the worker's pages.
func (f *fleetRun) admin() string { return fmt.Sprintf("127.0.0.1:%d", f.ports[2]) }

// close ends what runs.
func (f *fleetRun) close() (err error) {
	for _, p := range []*process{f.worker, f.server} {
		if p != nil {
			err = errors.Join(err, p.stop())
		}
	}
	return errors.Join(err, f.rig.end())
}

func (f *fleetRun) figure(where, what, unit string, value float64) {
	f.figures = append(f.figures, fleetFigure{where, what, value, unit, fleetAims[what]})
}

// seconds is how long something took that began at from.
func (f *fleetRun) seconds(where, what string, from time.Time) {
	f.figure(where, what, "s", time.Since(from).Seconds())
}

// queue is the state of the queue.
func (f *fleetRun) queue(ctx context.Context) (jetstream.StreamState, error) {
	return f.rig.stream(ctx, contract.Prefix("").OutStream())
}

// emptied waits until the queue holds nothing.
func (f *fleetRun) emptied(ctx context.Context) error {
	return eventually(ctx, drainPatience, func() error {
		queue, err := f.queue(ctx)
		if err == nil && queue.Msgs > 0 {
			err = fmt.Errorf("%d messages wait", queue.Msgs)
		}
		return err
	})
}
