package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
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
		if err := outbox.CheckSource(name); err != nil {
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
func (r *registrar) inFile(name string) string {
	if _, there := r.Config.Sources[name]; !there {
		return ""
	}
	if where := r.Config.Origin("sources." + name); where != "default" {
		return where
	}
	return "the environment"
}

// sourceRow is a source as `sources ls` prints it.
type sourceRow struct {
	Source      string     `json:"source"`
	From        string     `json:"from"`
	ID          string     `json:"id,omitempty"`
	Key         string     `json:"key,omitempty"`
	Environment string     `json:"environment,omitempty"`
	SlugGuard   string     `json:"slug_guard,omitempty"`
	OnUnknown   string     `json:"on_unknown,omitempty"`
	Hold        []string   `json:"hold,omitempty"`
	Revision    uint64     `json:"revision,omitempty"`
	Changed     *time.Time `json:"changed,omitempty"`
	Problem     string     `json:"problem,omitempty"`
}

func newSourceRow(name, from string, s config.Source) sourceRow {
	return sourceRow{Source: name, From: from, ID: s.ID, Key: s.Key, Environment: s.Environment, SlugGuard: s.SlugGuard, OnUnknown: s.OnUnknown, Hold: s.Hold}
}

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
	rows := r.rows(entries)
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

func unknownText(row sourceRow) string {
	if len(row.Hold) == 0 {
		return row.OnUnknown
	}
	return row.OnUnknown + ", hold " + strings.Join(row.Hold, " ")
}

// rows of the configuration's sources and the registry's, by name.
func (r *registrar) rows(entries []registry.Entry) []sourceRow {
	rows := make([]sourceRow, 0, len(entries)+len(r.Config.Sources))
	for _, name := range slices.Sorted(maps.Keys(r.Config.Sources)) {
		row := newSourceRow(name, r.inFile(name), r.Config.Sources[name])
		row.Problem = r.unknownKey(row.Key)
		rows = append(rows, row)
	}
	for _, e := range entries {
		row := newSourceRow(e.Name, r.Prefix.SourcesBucket(), e.Source())
		row.Revision, row.Changed = e.Revision, &e.Changed
		row.Problem = r.trouble(e)
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b sourceRow) int { return strings.Compare(a.Source, b.Source) })
	return rows
}

// trouble says why workers do not serve an entry as it is; "" for no reason.
func (r *registrar) trouble(e registry.Entry) string {
	switch file := r.inFile(e.Name); {
	case len(e.Part.Problems) > 0:
		return e.Part.Problems[0].Text + "; " + e.Part.Problems[0].Mend
	case file != "":
		return "is also in " + file + ", which wins"
	case !r.Config.Registry:
		return "registry is false in this configuration: its workers do not serve it"
	}
	return r.unknownKey(e.Source().Key)
}

// unknownKey says that the configuration at hand has keys, and not this one.
func (r *registrar) unknownKey(key string) string {
	if len(r.Config.Keys) == 0 || r.knows(key) {
		return ""
	}
	return fmt.Sprintf("no key is called %q in this configuration", key)
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
