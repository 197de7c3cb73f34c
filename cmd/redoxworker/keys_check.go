package main

import (
	"context"
	"encoding/json"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/checkcmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
)

// keysCheckCommand tries the keys.
type keysCheckCommand struct {
	Key string `placeholder:"NAME" help:"Try this key only."`
}

// Run asks for a token with each key, current and next, and fails when one fails.
func (k keysCheckCommand) Run(ctx context.Context, a *cli.App) error {
	c, err := a.Load(config.PartSources | config.PartOrderSecret)
	if err != nil {
		return err
	}
	var names []string
	if k.Key != "" {
		if _, err := only("key", k.Key, c.Keys); err != nil {
			return err
		}
		names = []string{k.Key}
	}
	keys, done, err := probes(c, names...)
	if err != nil {
		return err
	}
	defer done()
	results, err := checkcmd.TryKeys(ctx, keys)
	if err != nil {
		return err
	}
	encoder, failed := json.NewEncoder(a.Stdout), false
	for _, r := range results {
		failed = failed || !r.OK
		if !a.Globals.JSON {
			a.Printf("%s\n", r)
		} else if err := encoder.Encode(r); err != nil {
			return err
		}
	}
	if failed {
		return cli.ErrReported
	}
	return nil
}
