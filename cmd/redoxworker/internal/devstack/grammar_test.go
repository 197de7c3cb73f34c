package devstack

import (
	"context"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// grammar is a command line of the commands of this package alone.
type grammar struct {
	cli.Globals

	Demo DemoCommand `cmd:""`
	Dev  DevCommand  `cmd:""`
	Sim  SimCommand  `cmd:""`
}

func run(ctx context.Context, a cli.App) int { return cli.Execute(ctx, a, new(grammar)) }
