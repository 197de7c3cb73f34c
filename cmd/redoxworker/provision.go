package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/service"
)

// provisionCommand creates what publishers and workers need in NATS.
type provisionCommand struct {
	DryRun bool `name:"dry-run" help:"Show what differs and change nothing; exits 3 when something does."`
}

// Run creates or updates streams and buckets, whatever sources there are. It never deletes.
func (p provisionCommand) Run(ctx context.Context, a *app) error {
	q, err := a.openQueue(ctx, natsOnly)
	if err != nil {
		return err
	}
	defer q.close()
	act := service.Topology(q.config).Ensure
	if p.DryRun {
		act = service.Topology(q.config).Drift
	}
	changes, err := act(ctx, q.js)
	if err != nil && !errors.Is(err, topology.ErrRefused) {
		return err
	}
	if printErr := p.print(a, changes); printErr != nil {
		return printErr
	}
	switch {
	case err != nil:
		return fmt.Errorf("provision: %w", err)
	case p.DryRun && len(changes) > 0:
		return errDrift
	}
	return nil
}

func (p provisionCommand) print(a *app, changes []topology.Change) error {
	if a.globals.JSON {
		encoder := json.NewEncoder(a.stdout)
		for _, c := range changes {
			if err := encoder.Encode(c); err != nil {
				return err
			}
		}
		return nil
	}
	if len(changes) == 0 {
		a.printf("nothing to do: streams and buckets are as configured\n")
		return nil
	}
	for _, c := range changes {
		a.printf("%s\n", c)
	}
	if p.DryRun {
		a.printf("dry run: nothing was changed\n")
	}
	return nil
}
