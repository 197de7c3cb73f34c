// Package bench is the command that measures. Loop has the worker beside a raw loop that does the same
// work without the guarantees, and with --fleet what many sources cost as a whole; harm has one source of
// many meet trouble and looks what the others feel; burst has a fleet rest and then publish at once.
//
// All of them drive child processes, which are this program again: the worker as run runs it, the
// raw loop, NATS and what stands in for Redox, so that each has its own figures. A scene is a worker with many
// sources between a NATS server and a simulated Redox.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/daemon"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/devstack"
)

// Commands measure what the worker costs and what its sources feel of each other.
type Commands struct {
	Loop  loopCommand  `cmd:"" default:"withargs" help:"Throughput, latency, processor time and memory beside a raw loop."`
	Harm  harmCommand  `cmd:"" help:"What other sources feel while one of them meets trouble, and whether anything is lost."`
	Burst burstCommand `cmd:"" help:"How fast a burst after a rest goes out under the quota."`
}

// Run measures, or plays a child's role.
func (b *loopCommand) Run(ctx context.Context, a *cli.App) error {
	switch b.Role {
	case roleStand:
		return b.controlled(ctx, a, b.stand)
	case roleSim:
		a.Globals.JSON = true // the driver reads its address
		sim := devstack.SimCommand{Listen: "127.0.0.1:0", Profile: "none", TokenTTL: 5 * time.Minute}
		sim.Strict = true // as the command is
		return b.controlled(ctx, a, sim.Run)
	case roleWorker:
		return b.controlled(ctx, a, daemon.Run)
	case roleRaw:
		return b.controlled(ctx, a, b.raw)
	case roleServer:
		return b.controlled(ctx, a, b.server)
	}
	if err := b.validate(); err != nil {
		return err
	}
	if b.Fleet {
		return b.fleet(ctx, a)
	}
	results, err := b.drive(ctx, a)
	if ctx.Err() != nil {
		return errors.New("interrupted") // whatever the children said of it
	}
	if err != nil {
		return err
	}
	if a.Globals.JSON {
		return json.NewEncoder(a.Stdout).Encode(results)
	}
	a.Printf("%s\n", loopTable(results))
	return nil
}
