package main

import (
	"context"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/daemon"
)

// runCommand is the daemon.
type runCommand struct{}

// Run delivers until a signal, then drains and exits 0.
func (runCommand) Run(ctx context.Context, a *cli.App) error { return daemon.Run(ctx, a) }
