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
	Source []string `placeholder:"NAME" help:"A source of the configuration; may be repeated."`
	All    bool     `help:"Every source, those of other configurations as well."`
}

// PauseCommand has no worker pull messages of a source.
type PauseCommand struct {
	pauseTarget
	For *time.Duration `placeholder:"DURATION" help:"For how long; until resume by default."`
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
}

// Run pauses.
func (p PauseCommand) Run(ctx context.Context, a *cli.App) error {
	var length time.Duration // 0: until resume
	if p.For != nil {
		if length = *p.For; length <= 0 {
			return cli.Usagef("--for: %v; give more than 0s, or leave it out", length)
		}
	}
	return p.each(ctx, a, true, func(pauses *worker.Pauses, source string) error {
		r := pauseResult{Scope: pauseScope(source), Paused: true, Changed: true}
		if length > 0 {
			r.For = length.String()
		}
		if err := pauses.Pause(ctx, source, length); err != nil {
			return err
		}
		return r.print(a)
	})
}

// Run resumes. A source may have left the configuration since it was paused.
func (r ResumeCommand) Run(ctx context.Context, a *cli.App) error {
	return r.each(ctx, a, false, func(pauses *worker.Pauses, source string) (err error) {
		sources := []string{source}
		if r.All {
			if sources, err = pausedByHand(ctx, pauses); err != nil {
				return err
			}
		}
		for _, source := range sources {
			changed, err := pauses.Resume(ctx, source)
			if err != nil {
				return err
			}
			if err := (pauseResult{Scope: pauseScope(source), Changed: changed}).print(a); err != nil {
				return err
			}
		}
		if n := len(r.Source); n > 0 && source == r.Source[n-1] {
			return warnOfPause(ctx, a, pauses)
		}
		return nil
	})
}

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

// each does something for every source that was named, or once for all. configured says that
// only those of the configuration may be.
func (t pauseTarget) each(ctx context.Context, a *cli.App, configured bool, do func(*worker.Pauses, string) error) error {
	c, err := a.Load(config.PartKeys | config.PartOrderSecret)
	if err != nil {
		return err
	}
	sources, err := t.sources(c, configured)
	if err != nil {
		return err
	}
	q, err := a.Connect(ctx, c)
	if err != nil {
		return err
	}
	defer q.Close()
	pauses := worker.NewPauses(q.JS, q.Prefix, cli.OperatorName())
	for _, source := range sources {
		if err := do(pauses, source); err != nil {
			return q.Explain(err)
		}
	}
	return nil
}

// sources that were named; "" stands for all.
func (t pauseTarget) sources(c *config.Config, configured bool) ([]string, error) {
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
		if _, ok := c.Sources[s]; !ok && configured && !c.Registry {
			return nil, cli.Usagef("--source: %q is not configured; there are %s", s, strings.Join(slices.Sorted(maps.Keys(c.Sources)), ", "))
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
