package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
	"github.com/redoxworker/redoxworker/worker/service/access"
)

// logCommand looks up what became of a message that Redox took.
type logCommand struct {
	ID           string        `arg:"" help:"Id of one of Redox's logs, from Redox-Log-Ids of a reply or Meta.Logs of an answer."`
	Key          string        `placeholder:"NAME" help:"User-level key to ask with. Default: reconcile.key, or the only one of type user."`
	Organization string        `placeholder:"ID" help:"Organization in Redox's dashboard. Default: redox.organization_id."`
	Backfill     bool          `help:"Look among the logs of backfill traffic."`
	Timeout      time.Duration `default:"60s" help:"How long to wait for Redox."`
}

// Run prints the state. It fails when Redox has not delivered the message and will not:
// when the latest attempt failed, and when there is no such log.
func (l logCommand) Run(ctx context.Context, a *cli.App) error {
	if l.Timeout <= 0 {
		return cli.Usagef("--timeout: %s is no time to wait; use 30s, say", l.Timeout)
	}
	c, err := a.Load(config.PartSources | config.PartOrderSecret)
	if err != nil {
		return err
	}
	if l.Organization != "" {
		c.Redox.OrganizationID = l.Organization
	}
	if c.Redox.OrganizationID == "" {
		return cli.Usagef("redox.organization_id: not set; copy the organization's id from Redox's dashboard")
	}
	if l.Key == "" {
		l.Key = c.Reconcile.Key
	}
	if l.Key, err = c.UserKey(l.Key); err != nil {
		return cli.Usagef("--key: %w", err)
	}
	logs, done, err := l.logs(c, a.Version)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeoutCause(ctx, l.Timeout, fmt.Errorf("no answer within %s", l.Timeout))
	defer cancel()
	found, err := logs.Look(ctx, l.ID)
	switch {
	case errors.Is(err, platform.ErrBadID):
		return cli.Usagef("%q: %w", l.ID, err)
	case err != nil:
		return err
	}
	if err := printLog(a, found); err != nil {
		return err
	}
	if found.Status == platform.Failed {
		return cli.ErrReported
	}
	return nil
}

// logs looks up logs over connections of its own; call done at the end.
func (l logCommand) logs(c *config.Config, version string) (logs platform.Logs, done func(), err error) {
	transport, err := access.NewTransport(c)
	if err != nil {
		return logs, nil, err
	}
	few := *c
	few.Keys = map[string]config.Key{l.Key: c.Keys[l.Key]}
	keys, err := access.NewKeys(&few, access.KeysOptions{Transport: transport})
	if err != nil {
		return logs, nil, err
	}
	logs, err = access.PlatformLogs(c, keys.Get(l.Key), access.RedoxConfig(c, transport, version))
	logs.Backfill = l.Backfill
	return logs, transport.CloseIdleConnections, err
}

func printLog(a *cli.App, l platform.Log) error {
	if a.Globals.JSON {
		return json.NewEncoder(a.Stdout).Encode(l)
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	line("log", l.ID)
	line("status", string(l.Status))
	line("attempts", strconv.Itoa(l.Attempts))
	line("latest attempt", when(l.AttemptAt))
	line("failed stage", l.FailedStage)
	line("data model", l.DataModel)
	line("event type", l.EventType)
	line("destination", l.Destination)
	line("created", when(l.Created))
	return w.Flush()
}

// when is a time as text, "" for none.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}
