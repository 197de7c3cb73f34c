package opscmd

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
)

// pauseTarget is what is paused or resumed.
type pauseTarget struct {
	Source      []string `placeholder:"NAME" help:"A source; may be repeated."`
	All         bool     `help:"Every source, whatever configuration has it."`
	Destination []string `placeholder:"ID" help:"Only messages of the source, or with --all of every source, to this destination: the slug of a FHIR path, or the id of a REQUEST's; may be repeated."`
	cli.Why
}

// PauseCommand has no worker send messages of a source, or to a destination.
type PauseCommand struct {
	pauseTarget
	For   *time.Duration `placeholder:"DURATION" help:"For how long; until resume by default."`
	Force bool           `help:"Also a source that the configuration at hand does not have."`
}

// ResumeCommand ends such pauses.
type ResumeCommand struct {
	pauseTarget
}

// pauseResult is what is printed with --json.
type pauseResult struct {
	Scope   string `json:"scope"` // as status calls it: "all", "source:<name>", "dest:<source>:<destination>", "dest:*:<destination>"
	Paused  bool   `json:"paused"`
	Changed bool   `json:"changed"`
	For     string `json:"for,omitempty"` // of a pause with an end
	Reason  string `json:"reason,omitempty"`

	of target
}

// Run pauses. Where there is a configuration with sources it guards against a mistyped name.
func (p PauseCommand) Run(ctx context.Context, a *cli.App) error {
	var length time.Duration // 0: until resume
	if p.For != nil {
		if length = *p.For; length <= 0 {
			return cli.Usagef("--for: %v; give more than 0s, or leave it out", length)
		}
	}
	return p.each(ctx, a, p.known, func(d *desk, t target) (err error) {
		r := pauseResult{Scope: t.scope(), Paused: true, Changed: true, Reason: p.Reason, of: t}
		if length > 0 {
			r.For = length.String()
		}
		if t.destination != "" {
			err = d.PauseDestination(ctx, t.source, t.destination, length, p.Reason)
		} else {
			err = d.Pause(ctx, t.source, length, p.Reason)
		}
		if err != nil {
			return err
		}
		return r.print(a)
	})
}

// Run resumes. What it leaves paused of a source that was named it warns of.
func (r ResumeCommand) Run(ctx context.Context, a *cli.App) error {
	return r.each(ctx, a, anySource, func(d *desk, t target) (err error) {
		pauses, targets := worker.NewPauses(d.JS, d.Prefix, cli.OperatorName()), []target{t}
		if r.All {
			if targets, err = pausedByHand(ctx, pauses, t); err != nil {
				return err
			}
		}
		for _, t := range targets {
			if err := r.end(ctx, a, d, t); err != nil {
				return err
			}
		}
		if t == r.last() && !r.All {
			return r.warn(ctx, a, pauses)
		}
		return nil
	})
}

// end ends one pause.
func (r ResumeCommand) end(ctx context.Context, a *cli.App, d *desk, t target) (err error) {
	result := pauseResult{Scope: t.scope(), Reason: r.Reason, of: t}
	if t.destination != "" {
		result.Changed, err = d.ResumeDestination(ctx, t.source, t.destination, r.Reason)
	} else {
		result.Changed, err = d.Resume(ctx, t.source, r.Reason)
	}
	if err != nil {
		return err
	}
	return result.print(a)
}

// known refuses a source that the configuration at hand does not have, if it has any.
func (p PauseCommand) known(c *config.Config, source string) error {
	if _, known := c.Sources[source]; source == "" || known || p.Force || len(c.Sources) == 0 || c.Registry {
		return nil
	}
	return cli.Usagef("--source: %q is not configured; there are %s. Use --force where another configuration has it",
		source, strings.Join(slices.Sorted(maps.Keys(c.Sources)), ", "))
}

func anySource(*config.Config, string) error { return nil }

// warn says what still keeps messages of the sources back, which ending these pauses leaves as it is.
func (r ResumeCommand) warn(ctx context.Context, a *cli.App, pauses *worker.Pauses) error {
	list, err := pauses.List(ctx)
	if err != nil {
		return err
	}
	for _, p := range list {
		source, destination, ok := p.Target()
		left := target{source, destination}
		switch {
		case !ok:
		case source == "" && destination == "":
			fmt.Fprintln(a.Stderr, "redoxworker: warning: all sources are paused; redoxworker resume --all ends that")
		case len(r.Destination) > 0 && destination == "" && slices.Contains(r.Source, source):
			fmt.Fprintf(a.Stderr, "redoxworker: warning: all of %s is paused; redoxworker resume %s ends that\n", source, left.flags())
		case destination != "" && (source == "" || slices.Contains(r.Source, source)) && (len(r.Destination) == 0 || slices.Contains(r.Destination, destination)):
			fmt.Fprintf(a.Stderr, "redoxworker: warning: messages to %s are paused; redoxworker resume %s ends that\n", destination, left.flags())
		}
	}
	return nil
}

// pausedByHand is what operators have paused, of one destination where all names one, and all itself, which is
// there in any case.
func pausedByHand(ctx context.Context, pauses *worker.Pauses, all target) ([]target, error) {
	list, err := pauses.List(ctx)
	if err != nil {
		return nil, err
	}
	targets := []target{all}
	for _, p := range list {
		source, destination, ok := p.Target()
		if one := (target{source, destination}); ok && one != all && (all.destination == "" || destination == all.destination) {
			targets = append(targets, one)
		}
	}
	return targets, nil
}

// target is a source, "" for all, or a destination of it.
type target struct{ source, destination string }

// scope is what a pause of it is called.
func (t target) scope() string {
	switch {
	case t == target{}:
		return "all"
	case t.destination == "":
		return "source:" + t.source
	case t.source == "":
		return "dest:*:" + t.destination
	}
	return "dest:" + t.source + ":" + t.destination
}

// flags name it on a command line.
func (t target) flags() string {
	line := "--all"
	if t.source != "" {
		line = "--source " + t.source
	}
	if t.destination != "" {
		line += " --destination " + t.destination
	}
	return line
}

// each does something for everything that was named, if may has nothing against any of the sources. It
// needs NATS alone.
func (t pauseTarget) each(ctx context.Context, a *cli.App, may func(*config.Config, string) error, do func(*desk, target) error) error {
	targets, err := t.targets()
	if err != nil {
		return err
	}
	d, err := openDesk(ctx, a)
	if err != nil {
		return err
	}
	defer d.Close()
	for _, one := range targets {
		if err := may(d.Config, one.source); err != nil {
			return err
		}
	}
	for _, one := range targets {
		if err := do(d, one); err != nil {
			return d.Explain(err)
		}
	}
	return nil
}

// last is the one that is done last.
func (t pauseTarget) last() (last target) {
	if targets, err := t.targets(); err == nil {
		last = targets[len(targets)-1]
	}
	return last
}

// targets that were named: each destination of each source. Names of destinations have no capital
// letters at Redox.
func (t pauseTarget) targets() (all []target, err error) {
	sources := t.Source
	switch {
	case t.All && len(sources) > 0:
		return nil, cli.Usagef("give --source or --all, not both")
	case t.All:
		sources = []string{""}
	case len(sources) == 0 && len(t.Destination) > 0:
		return nil, cli.Usagef("say whose messages to %s: --source NAME, or --all", t.Destination[0])
	case len(sources) == 0:
		return nil, cli.Usagef("say what: --source NAME, or --all")
	}
	for _, s := range sources {
		if s == "" && t.All {
			break
		}
		if err := contract.CheckSource(s); err != nil {
			return nil, cli.Usagef("--source: %w", err)
		}
	}
	for _, id := range t.Destination {
		if err := worker.CheckDestination(id); err != nil {
			return nil, cli.Usagef("--destination: %w", err)
		}
	}
	for _, s := range sources {
		if len(t.Destination) == 0 {
			all = append(all, target{source: s})
		}
		for _, id := range t.Destination {
			all = append(all, target{s, strings.ToLower(id)})
		}
	}
	return all, nil
}

func (r pauseResult) print(a *cli.App) error {
	if a.Globals.JSON {
		return json.NewEncoder(a.Stdout).Encode(r)
	}
	switch {
	case r.Paused && r.For != "":
		a.Printf("%s: paused for %s\n", r.Scope, r.For)
	case r.Paused:
		a.Printf("%s: paused until redoxworker resume %s\n", r.Scope, r.of.flags())
	case r.Changed:
		a.Printf("%s: resumed\n", r.Scope)
	default:
		a.Printf("%s: was not paused\n", r.Scope)
	}
	return nil
}
