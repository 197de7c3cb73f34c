// Package provisioncmd has the command that makes what publishers and workers need in NATS, or prints what
// its configuration needs: provision.
package provisioncmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/service"
)

// Command creates what publishers and workers need in NATS.
type Command struct {
	DryRun  bool     `name:"dry-run" help:"Show what differs and change nothing; exits 3 when something does."`
	Replies []string `placeholder:"SOURCE" help:"Also make the consumers through which the applications of these sources read their replies (in Go: outbox.Replies), with commas between them; for applications that may make none."`
	Print   string   `enum:",accounts,nack" default:"" placeholder:"WHAT" help:"Print and change nothing. accounts: the accounts of nats-server for the sources of the configuration, with least rights for each user; their passwords come from its environment. nack: streams and buckets as resources for Kubernetes with NACK."`
}

// Run creates or updates streams and buckets, whatever sources there are. It never deletes.
func (p Command) Run(ctx context.Context, a *cli.App) error {
	switch p.Print {
	case "accounts":
		return printAccounts(a)
	case "nack":
		return printNACK(a)
	}
	for _, source := range p.Replies {
		if err := contract.CheckSource(source); err != nil {
			return cli.Usagef("--replies: %w", err)
		}
	}
	q, err := a.OpenSession(ctx, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer q.Close()
	act := service.Topology(q.Config).Ensure
	if p.DryRun {
		act = service.Topology(q.Config).Drift
	}
	changes, err := act(ctx, q.JS)
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
		return cli.ErrDrift
	case p.DryRun:
		return nil
	}
	return p.readers(ctx, q)
}

// readers makes the consumers of replies.
func (p Command) readers(ctx context.Context, q *cli.Session) error {
	for _, source := range p.Replies {
		r, err := outbox.NewReplies(q.JS, outbox.RepliesConfig{Prefix: q.Prefix, Source: source})
		if err == nil {
			err = r.Provision(ctx)
		}
		if err != nil {
			return q.Explain(err)
		}
	}
	return nil
}

func (p Command) print(a *cli.App, changes []topology.Change) error {
	if a.Globals.JSON {
		encoder := json.NewEncoder(a.Stdout)
		for _, c := range changes {
			if err := encoder.Encode(c); err != nil {
				return err
			}
		}
		return nil
	}
	if len(changes) == 0 {
		a.Printf("nothing to do: streams and buckets are as configured\n")
		return nil
	}
	for _, c := range changes {
		a.Printf("%s\n", c)
	}
	if p.DryRun {
		a.Printf("dry run: nothing was changed\n")
	}
	return nil
}
