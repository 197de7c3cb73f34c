package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
)

// provisionCommand creates what publishers and workers need in NATS.
type provisionCommand struct {
	DryRun bool `name:"dry-run" help:"Show what differs and change nothing."`
}

// Run creates or updates streams, consumers and buckets. It never deletes.
func (p provisionCommand) Run(ctx context.Context, a *app) error {
	c, err := a.load(config.PartKeys | config.PartOrderSecret)
	if err != nil {
		return err
	}
	log, err := a.logger(c.Log)
	if err != nil {
		return err
	}
	conn, js, err := connectOnce(ctx, c, log)
	if err != nil {
		return err
	}
	defer conn.Close()
	t := topology(c)
	var changes []outbox.Change
	if p.DryRun {
		changes, err = t.Drift(ctx, js)
	} else {
		changes, err = t.Ensure(ctx, js)
	}
	if err != nil && !errors.Is(err, outbox.ErrRefused) {
		return err
	}
	if printErr := p.print(a, changes); printErr != nil {
		return printErr
	}
	if err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	return nil
}

func (p provisionCommand) print(a *app, changes []outbox.Change) error {
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
		a.printf("nothing to do: streams, consumers and buckets are as configured\n")
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
