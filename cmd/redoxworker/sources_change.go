package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service/registry"
)

// sourceFlags are the settings of a source. Those that are not given keep their value.
type sourceFlags struct {
	Name        string  `arg:"" help:"Name of the source: a to z, 0 to 9 and -."`
	ID          *string `placeholder:"UUID" help:"Redox's Source ID."`
	Key         *string `placeholder:"NAME" help:"Key of the workers' configuration."`
	Environment *string `placeholder:"NAME" help:"development, staging or production."`
	SlugGuard   *string `placeholder:"on|off" help:"Whether FHIR paths begin with a slug and the environment; off for other FHIR servers than Redox."`
	OnUnknown   *string `placeholder:"WHAT" help:"resend or hold, when a request was written and no answer came."`
	Hold        *string `placeholder:"EVENTS" help:"Events that hold all the same, such as Order.*, with commas between them; '' for none."`
	Force       bool    `help:"Also with a key that the configuration at hand does not have."`
	DryRun      bool    `help:"Check it, say what would change, and change nothing."`
	cli.Why
}

// over puts what was given over a source.
func (f sourceFlags) over(s config.Source) config.Source {
	for _, field := range []struct {
		to    *string
		given *string
	}{{&s.ID, f.ID}, {&s.Key, f.Key}, {&s.Environment, f.Environment}, {&s.SlugGuard, f.SlugGuard}, {&s.OnUnknown, f.OnUnknown}} {
		if field.given != nil {
			*field.to = *field.given
		}
	}
	if f.Hold != nil {
		s.Hold = nil
		for one := range strings.SplitSeq(*f.Hold, ",") {
			if one = strings.TrimSpace(one); one != "" {
				s.Hold = append(s.Hold, one)
			}
		}
	}
	return s
}

// sourceChange is what is printed with --json.
type sourceChange struct {
	Source   string       `json:"source"`
	Action   string       `json:"action"` // add, set or rm
	Changed  bool         `json:"changed"`
	DryRun   bool         `json:"dry_run,omitempty"`
	Revision uint64       `json:"revision,omitempty"`
	Before   *sourceValue `json:"before,omitempty"`
	After    *sourceValue `json:"after,omitempty"`
	Waiting  uint64       `json:"waiting,omitempty"` // messages of the source in the queue
}

func (c sourceChange) print(a *cli.App) error {
	if a.Globals.JSON {
		return json.NewEncoder(a.Stdout).Encode(c)
	}
	done := map[string]string{"add": "added", "set": "changed", "rm": "removed"}[c.Action]
	switch {
	case !c.Changed:
		a.Printf("%s: nothing to change, revision %d\n", c.Source, c.Revision)
	case c.DryRun:
		a.Printf("%s: would be %s\n", c.Source, done)
	case c.Action == "rm":
		a.Printf("%s: removed\n", c.Source)
	default:
		a.Printf("%s: %s, revision %d\n", c.Source, done, c.Revision)
	}
	return nil
}

// sourcesAddCommand adds a source.
type sourcesAddCommand struct {
	sourceFlags
}

// Run adds a source that the registry does not have.
func (c sourcesAddCommand) Run(ctx context.Context, a *cli.App) error {
	r, err := openRegistry(ctx, a, c.Why, c.Name)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.Get(ctx, c.Name); !errors.Is(err, registry.ErrNotFound) {
		if err == nil {
			err = fmt.Errorf("source %s: %w; change it with `redoxworker sources set %s`", c.Name, registry.ErrExists, c.Name)
		}
		return r.Explain(err)
	}
	return r.put(ctx, a, c.sourceFlags, sourceChange{Source: c.Name, Action: "add"}, config.Source{}, 0)
}

// sourcesSetCommand changes a source.
type sourcesSetCommand struct {
	sourceFlags
	Revision *uint64 `placeholder:"N" help:"Only in this state, as ls and add show it; the present one by default."`
}

// Run changes what was given, in the state that was named or read just before.
func (c sourcesSetCommand) Run(ctx context.Context, a *cli.App) error {
	r, err := openRegistry(ctx, a, c.Why, c.Name)
	if err != nil {
		return err
	}
	defer r.Close()
	e, err := r.Get(ctx, c.Name)
	if err != nil {
		return r.Explain(err)
	}
	if err := expected(e, c.Revision); err != nil {
		return err
	}
	change := sourceChange{Source: c.Name, Action: "set"}
	if len(e.Part.Problems) == 0 {
		before := sourceValue(e.Source())
		change.Before = &before
	}
	return r.put(ctx, a, c.sourceFlags, change, e.Source(), e.Revision)
}

// expected fails where the entry is in another state than somebody thinks.
func expected(e registry.Entry, revision *uint64) error {
	if revision != nil && *revision != e.Revision {
		return fmt.Errorf("source %s: %w: it has revision %d, not %d; look at it with `redoxworker sources ls`", e.Name, registry.ErrChanged, e.Revision, *revision)
	}
	return nil
}

// put stores a source, or says what it would store.
func (r *registrar) put(ctx context.Context, a *cli.App, f sourceFlags, change sourceChange, before config.Source, revision uint64) error {
	part := r.Check(f.Name, f.over(before))
	if len(part.Problems) > 0 {
		return config.Problems(part.Problems)
	}
	source := part.Sources[f.Name]
	if err := r.checkKey(f, source); err != nil {
		return err
	}
	if file := r.inFile(f.Name); file != "" {
		fmt.Fprintf(a.Stderr, "redoxworker: warning: source %s is also in %s, which wins\n", f.Name, file)
	}
	after := sourceValue(source)
	change.After, change.Revision, change.DryRun = &after, revision, f.DryRun
	change.Changed = change.Before == nil || !sameSource(before, source)
	if f.DryRun || !change.Changed {
		return change.print(a)
	}
	e, err := r.Put(ctx, f.Name, source, revision)
	if err != nil {
		return r.Explain(err)
	}
	change.Revision = e.Revision
	return change.print(a)
}

func sameSource(a, b config.Source) bool {
	hold := slices.Equal(a.Hold, b.Hold)
	return hold && a.ID == b.ID && a.Key == b.Key && a.Environment == b.Environment && a.SlugGuard == b.SlugGuard && a.OnUnknown == b.OnUnknown
}

// checkKey finds a key that the configuration does not have, and a Source ID that is missing
// where the key needs one.
func (r *registrar) checkKey(f sourceFlags, s config.Source) error {
	switch known := slices.Sorted(maps.Keys(r.Config.Keys)); {
	case s.Key == "":
		return cli.Usagef("--key: missing; name a key of the workers' configuration")
	case !f.Force && len(known) > 0 && !r.knows(s.Key):
		return cli.Usagef("--key: no key is called %q in this configuration; it has %s. Use --force where the workers have it", s.Key, strings.Join(known, ", "))
	case s.ID == "" && s.SlugGuard != config.SlugGuardOff && (!r.knows(s.Key) || r.Config.Keys[s.Key].Type == config.KeyOAuth):
		return cli.Usagef("--id: missing; copy the Source ID from Redox's dashboard")
	}
	return nil
}

// sourcesRmCommand removes a source.
type sourcesRmCommand struct {
	Name     string  `arg:"" help:"Name of the source."`
	Revision *uint64 `placeholder:"N" help:"Only in this state, as ls shows it; the present one by default."`
	Force    bool    `help:"Although messages of the source wait: they stay in the queue, and nobody serves them. Also where the registry does not have it, and workers do that have seen it before the registry was lost."`
	DryRun   bool    `help:"Say what would change, and change nothing."`
	cli.Why
}

// Run removes a source for which no message waits.
func (c sourcesRmCommand) Run(ctx context.Context, a *cli.App) error {
	r, err := openRegistry(ctx, a, c.Why, c.Name)
	if err != nil {
		return err
	}
	defer r.Close()
	e, err := r.Get(ctx, c.Name)
	missing := errors.Is(err, registry.ErrNotFound)
	switch file := r.inFile(c.Name); {
	case missing && !c.Force && file != "":
		return fmt.Errorf("source %s: it is in %s, not in the registry; remove it there", c.Name, file)
	case err != nil && !(missing && c.Force):
		return r.Explain(err)
	}
	if err := expected(e, c.Revision); err != nil {
		return err
	}
	change := sourceChange{Source: c.Name, Action: "rm", Changed: true, DryRun: c.DryRun}
	if change.Waiting, err = r.Waiting(ctx, c.Name); err != nil {
		return r.Explain(err)
	}
	if change.Waiting > 0 && !c.Force {
		return fmt.Errorf("source %s: %d messages of it are in the queue, which nobody would serve; nothing was changed: wait until they are delivered, or use --force", c.Name, change.Waiting)
	}
	switch {
	case c.DryRun:
	case missing:
		err = r.Forget(ctx, c.Name)
	default:
		err = r.Delete(ctx, c.Name, e.Revision)
	}
	if err != nil {
		return r.Explain(err)
	}
	return change.print(a)
}
