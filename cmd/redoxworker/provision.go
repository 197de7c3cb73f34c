package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/service"
)

// provisionCommand creates what publishers and workers need in NATS.
type provisionCommand struct {
	DryRun bool `name:"dry-run" xor:"how" help:"Show what differs and change nothing."`
	Drain  bool `xor:"how" help:"When order.partitions changed: refuse ordered messages until the workers have emptied the partitions, then change it."`
}

// Run creates or updates streams, consumers and buckets. It never deletes.
func (p provisionCommand) Run(ctx context.Context, a *app) error {
	q, err := a.openQueue(ctx, config.PartKeys|config.PartOrderSecret)
	if err != nil {
		return err
	}
	defer q.close()
	t := service.Topology(q.config)
	var changes []outbox.Change
	switch {
	case p.DryRun:
		if changes, err = t.Drift(ctx, q.js); err == nil && slices.ContainsFunc(changes, func(c outbox.Change) bool { return c.Action == outbox.Refuse }) {
			err = fmt.Errorf("%w: see what is marked refuse", outbox.ErrRefused)
		}
	case p.Drain:
		if changes, err = t.Repartition(ctx, q.js, true, p.waiting(a)); err != nil {
			return fmt.Errorf("provision: the partitions are as they were: %w", err)
		}
		fallthrough
	default:
		var more []outbox.Change
		more, err = t.Ensure(ctx, q.js)
		changes = append(changes, more...)
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

// waiting says on stderr what is left, every few seconds.
func (p provisionCommand) waiting(a *app) func(uint64) {
	var last time.Time
	return func(left uint64) {
		if time.Since(last) < 5*time.Second {
			return
		}
		last = time.Now()
		fmt.Fprintf(a.stderr, "ordered messages are refused; waiting for the workers to deliver %d\n", left)
	}
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
