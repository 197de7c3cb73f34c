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
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// pauseTarget is what is paused or resumed.
type pauseTarget struct {
	Source []string `placeholder:"NAME" help:"A source; may be repeated."`
	All    bool     `help:"Every source, whatever configuration has it."`
	cli.Why
}

// PauseCommand has no worker pull messages of a source.
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
	Scope   string `json:"scope"` // "all" or "source:<name>"
	Paused  bool   `json:"paused"`
	Changed bool   `json:"changed"`
	For     string `json:"for,omitempty"` // of a pause with an end
	Reason  string `json:"reason,omitempty"`
}

// Run pauses. Where there is a configuration with sources it guards against a mistyped name.
func (p PauseCommand) Run(ctx context.Context, a *cli.App) error {
	var length time.Duration // 0: until resume
	if p.For != nil {
		if length = *p.For; length <= 0 {
			return cli.Usagef("--for: %v; give more than 0s, or leave it out", length)
		}
	}
	return p.each(ctx, a, p.known, func(d *desk, source string) error {
		r := pauseResult{Scope: pauseScope(source), Paused: true, Changed: true, Reason: p.Reason}
		if length > 0 {
			r.For = length.String()
		}
		if err := d.Pause(ctx, source, length, p.Reason); err != nil {
			return err
		}
		return r.print(a)
	})
}

// Run resumes.
func (r ResumeCommand) Run(ctx context.Context, a *cli.App) error {
	return r.each(ctx, a, anySource, func(d *desk, source string) (err error) {
		pauses := worker.NewPauses(d.JS, d.Prefix, cli.OperatorName())
		sources := []string{source}
		if r.All {
			if sources, err = pausedByHand(ctx, pauses); err != nil {
				return err
			}
		}
		for _, source := range sources {
			changed, err := d.Resume(ctx, source, r.Reason)
			if err != nil {
				return err
			}
			if err := (pauseResult{Scope: pauseScope(source), Changed: changed, Reason: r.Reason}).print(a); err != nil {
				return err
			}
		}
		if n := len(r.Source); n > 0 && source == r.Source[n-1] {
			return warnOfPause(ctx, a, pauses)
		}
		return nil
	})
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

// warnOfPause says that all are paused, which ending the pause of a source leaves as it is.
func warnOfPause(ctx context.Context, a *cli.App, pauses *worker.Pauses) error {
	list, err := pauses.List(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(list, func(p worker.Paused) bool { return p.Operator && p.Scope == pauseScope("") }) {
		fmt.Fprintln(a.Stderr, "redoxworker: warning: all sources are paused; redoxworker resume --all ends that")
	}
	return nil
}

// pausedByHand are the sources that operators have paused, and "" for all of them, which is
// there in any case.
func pausedByHand(ctx context.Context, pauses *worker.Pauses) ([]string, error) {
	list, err := pauses.List(ctx)
	if err != nil {
		return nil, err
	}
	sources := []string{""}
	for _, p := range list {
		if source, ok := strings.CutPrefix(p.Scope, "source:"); ok && p.Operator {
			sources = append(sources, source)
		}
	}
	return sources, nil
}

func pauseScope(source string) string {
	if source == "" {
		return "all"
	}
	return "source:" + source
}

// each does something for every source that was named, or once for all, if may has nothing against
// any of them. It needs NATS alone.
func (t pauseTarget) each(ctx context.Context, a *cli.App, may func(*config.Config, string) error, do func(*desk, string) error) error {
	sources, err := t.sources()
	if err != nil {
		return err
	}
	d, err := openDesk(ctx, a)
	if err != nil {
		return err
	}
	defer d.Close()
	for _, source := range sources {
		if err := may(d.Config, source); err != nil {
			return err
		}
	}
	for _, source := range sources {
		if err := do(d, source); err != nil {
			return d.Explain(err)
		}
	}
	return nil
}

// sources that were named; "" stands for all.
func (t pauseTarget) sources() ([]string, error) {
	switch {
	case t.All && len(t.Source) > 0:
		return nil, cli.Usagef("give --source or --all, not both")
	case t.All:
		return []string{""}, nil
	case len(t.Source) == 0:
		return nil, cli.Usagef("say what: --source NAME, or --all")
	}
	for _, s := range t.Source {
		if err := outbox.CheckSource(s); err != nil {
			return nil, cli.Usagef("--source: %w", err)
		}
	}
	return t.Source, nil
}

func (r pauseResult) print(a *cli.App) error {
	if a.Globals.JSON {
		return json.NewEncoder(a.Stdout).Encode(r)
	}
	switch {
	case r.Paused && r.For != "":
		a.Printf("%s: paused for %s\n", r.Scope, r.For)
	case r.Paused:
		flag := "--all"
		if source, ok := strings.CutPrefix(r.Scope, "source:"); ok {
			flag = "--source " + source
		}
		a.Printf("%s: paused until redoxworker resume %s\n", r.Scope, flag)
	case r.Changed:
		a.Printf("%s: resumed\n", r.Scope)
	default:
		a.Printf("%s: was not paused\n", r.Scope)
	}
	return nil
}
