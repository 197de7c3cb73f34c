package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service/access"
)

// keysCheckCommand tries the keys.
type keysCheckCommand struct {
	Key string `placeholder:"NAME" help:"Try this key only."`
}

// checkedKey is the result of one key pair or secret.
type checkedKey struct {
	Key string `json:"key"`
	OK  bool   `json:"ok"`
	auth.KeyCheck
	Error string `json:"error,omitempty"`
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
	results, err := checkKeys(ctx, keys)
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

// checkKeys tries all keys at once; the results are in the order of their names.
func checkKeys(ctx context.Context, keys *access.Keys) ([]checkedKey, error) {
	all := keys.All()
	checks := make([][]auth.KeyCheck, len(all))
	var group errgroup.Group
	group.SetLimit(8)
	for i, key := range all {
		group.Go(func() error {
			checks[i] = checkKey(ctx, key)
			return nil
		})
	}
	_ = group.Wait() // nothing in it fails
	var results []checkedKey
	for i, key := range all {
		for _, c := range checks[i] {
			r := checkedKey{Key: key.Name, OK: c.OK(), KeyCheck: c}
			if c.Err != nil {
				r.Error = c.Err.Error()
			}
			results = append(results, r)
		}
	}
	return results, ctx.Err()
}

func checkKey(ctx context.Context, k *access.Key) []auth.KeyCheck {
	if k.Legacy != nil {
		return k.Legacy.Check(ctx)
	}
	return k.OAuth.Check(ctx)
}

// String is one line: a tick with what was had, or a cross with the error and its mend.
func (r checkedKey) String() string {
	name := r.Key
	if r.KeyID != "" {
		name += fmt.Sprintf(" (%s, %s, kid %q)", r.Role, r.Algorithm, r.KeyID)
	}
	if !r.OK {
		line := "✗ " + name + ": " + r.Error
		if r.Mend != "" && !strings.Contains(r.Error, r.Mend) {
			line += "; " + r.Mend
		}
		return line
	}
	line := fmt.Sprintf("✓ %s: token for %s (until %s), had in %s; clock %s", name, r.Lifetime.Round(time.Second),
		r.Expires.UTC().Format(time.RFC3339), took(r.Took), clockText(r.Skew, r.SkewKnown))
	if r.Warning != "" {
		line += "; warning: " + r.Warning
	}
	return line
}

func took(d time.Duration) string { return max(d.Round(time.Millisecond), time.Millisecond).String() }
