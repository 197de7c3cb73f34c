package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/service/registry"
)

// sourcesCommand is about the sources that workers serve: those of files, and the registry.
type sourcesCommand struct {
	Ls     sourcesLsCommand     `cmd:"" default:"withargs" help:"Sources of the configuration and of the registry, and what is wrong with them."`
	Add    sourcesAddCommand    `cmd:"" help:"Add a source to the registry: every worker serves it at once."`
	Set    sourcesSetCommand    `cmd:"" help:"Change a source of the registry."`
	Rm     sourcesRmCommand     `cmd:"" help:"Remove a source from the registry. What workers have of it, they finish."`
	Export sourcesExportCommand `cmd:"" help:"Print the registry as a file for sources_dir."`
}

// registrar is a queue and the registry in it.
type registrar struct {
	*cli.Session
	*registry.Registry
}

// openRegistry loads the configuration, of which it needs nothing but NATS, and connects.
// names are those of sources that are to be changed.
func openRegistry(ctx context.Context, a *cli.App, why cli.Why, names ...string) (*registrar, error) {
	for _, name := range names {
		if err := contract.CheckSource(name); err != nil {
			return nil, cli.Usagef("%w", err)
		}
	}
	q, err := a.OpenSession(ctx, cli.NATSOnly)
	if err != nil {
		return nil, err
	}
	record, err := q.Recorder()
	if err != nil {
		q.Close()
		return nil, err
	}
	return &registrar{q, registry.New(q.JS, registry.Options{Prefix: q.Prefix, Audit: record, Reason: why.Reason})}, nil
}

// inFile says where the configuration has a source; "" where it does not.
func (r *registrar) inFile(name string) string { return registry.InFile(r.Config, name) }

// sourcesLsCommand lists sources.
type sourcesLsCommand struct{}

// Run prints every source that the configuration at hand and the registry have.
func (sourcesLsCommand) Run(ctx context.Context, a *cli.App) error {
	r, err := openRegistry(ctx, a, cli.Why{})
	if err != nil {
		return err
	}
	defer r.Close()
	entries, err := r.List(ctx)
	if errors.Is(err, registry.ErrNoRegistry) && !r.Config.Registry {
		err = nil // and none is asked for
	}
	if err != nil {
		return r.Explain(err)
	}
	rows := registry.Rows(r.Config, r.Prefix, entries)
	if a.Globals.JSON {
		return cli.EncodeAll(a, rows)
	}
	if len(rows) == 0 {
		fmt.Fprintln(a.Stderr, "no sources")
		return nil
	}
	t := a.NewTable()
	t.AppendHeader(table.Row{"source", "from", "id", "key", "environment", "on unknown", "revision", "problem"})
	for _, row := range rows {
		revision := any("")
		if row.Revision > 0 {
			revision = row.Revision
		}
		t.AppendRow(table.Row{cli.Printable(row.Source), row.From, row.ID, row.Key, row.Environment, unknownText(row), revision, row.Problem})
	}
	a.Printf("%s\n", a.Fitted(t, 8))
	return nil
}

func unknownText(row registry.Row) string {
	if len(row.Hold) == 0 {
		return row.OnUnknown
	}
	return row.OnUnknown + ", hold " + strings.Join(row.Hold, " ")
}

func (r *registrar) knows(key string) bool {
	_, known := r.Config.Keys[key]
	return known
}

// sourcesExportCommand prints the registry.
type sourcesExportCommand struct{}

// Run prints all entries that can be used as YAML, or, with --json, as JSON of the same form.
func (sourcesExportCommand) Run(ctx context.Context, a *cli.App) error {
	r, err := openRegistry(ctx, a, cli.Why{})
	if err != nil {
		return err
	}
	defer r.Close()
	entries, err := r.List(ctx)
	if err != nil {
		return r.Explain(err)
	}
	sources := make(map[string]config.Source, len(entries))
	for _, e := range entries {
		if problems := e.Part.Problems; len(problems) > 0 {
			fmt.Fprintln(a.Stderr, "redoxworker: warning: left out:", problems[0])
			continue
		}
		sources[e.Name] = e.Source()
	}
	if a.Globals.JSON {
		rows := map[string]map[string]sourceValue{"sources": {}}
		for name, s := range sources {
			rows["sources"][name] = sourceValue(s)
		}
		return json.NewEncoder(a.Stdout).Encode(rows)
	}
	return a.PrintText(config.SourcesYAML(sources))
}

// sourceValue is a source as a file of sources has it, in JSON.
type sourceValue struct {
	ID          string   `json:"id,omitempty"`
	Key         string   `json:"key"`
	Environment string   `json:"environment"`
	SlugGuard   string   `json:"slug_guard"`
	OnUnknown   string   `json:"on_unknown"`
	Hold        []string `json:"hold,omitempty"`
}
