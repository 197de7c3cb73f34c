package opscmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/jedib0t/go-pretty/v6/table"
	"golang.org/x/time/rate"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/operate"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// AstrayCommand is about messages of the work queue that no worker reads.
type AstrayCommand struct {
	Ls   astrayLsCommand   `cmd:"" default:"withargs" help:"Messages that no worker reads: of sources that none serves, under subjects that no lane has."`
	Move astrayMoveCommand `cmd:"" help:"Move them to a source that workers serve, or a lane that there is: same id, headers and order."`
	Bury astrayBuryCommand `cmd:"" name:"dead-letter" help:"Make dead letters of them."`
}

// astrayLsCommand lists them.
type astrayLsCommand struct {
	Source string `placeholder:"NAME" help:"Only what names this source in its subject: there is less to look through."`
}

// astrayChoice are the flags that say which are to go.
type astrayChoice struct {
	Source  string  `placeholder:"NAME" xor:"which" help:"Those whose subject names this source."`
	Subject string  `placeholder:"SUBJECT" xor:"which" help:"Those under this subject of the queue, which may have wildcards."`
	All     bool    `xor:"which" help:"All of them."`
	Rate    float64 `default:"1000" placeholder:"N" help:"At most N messages per second, so that others do not feel it; 0 means no bound. Default: ${default}."`
	DryRun  bool    `name:"dry-run" help:"Show what would be done and change nothing."`
	Force   bool    `help:"Do not ask. Needed where there is no terminal."`
	cli.Why
}

// astrayMoveCommand moves them.
type astrayMoveCommand struct {
	astrayChoice
	To             string `placeholder:"NAME" help:"The source that is to send them. Default: the one that they name."`
	Lane           string `placeholder:"NAME" help:"send or request, for those whose subject has no lane."`
	WithoutReplies bool   `name:"without-replies" help:"Also those whose reply subject belongs to another source, without it. Default: they are left."`
}

// astrayBuryCommand makes dead letters of them.
type astrayBuryCommand struct {
	astrayChoice
}

// Run lists what is astray, the most first. It changes nothing.
func (c astrayLsCommand) Run(ctx context.Context, a *cli.App) error {
	if err := cli.CheckSource(c.Source); err != nil {
		return err
	}
	q, err := a.OpenSession(ctx, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer q.Close()
	found, err := findStrays(ctx, q, operate.StrayQuery{Source: c.Source})
	if err != nil {
		return q.Explain(err)
	}
	if a.Globals.JSON {
		err = cli.EncodeAll(a, found.Kinds)
	} else {
		printStrays(a, found)
	}
	unlearned(a, found)
	return err
}

func unlearned(a *cli.App, found operate.Strays) {
	for _, text := range found.Unlearned {
		fmt.Fprintln(a.Stderr, "redoxworker: not looked at:", text)
	}
}

func printStrays(a *cli.App, found operate.Strays) {
	if len(found.Kinds) == 0 {
		fmt.Fprintln(a.Stderr, "no message is astray")
		return
	}
	t := a.NewTable()
	t.AppendHeader(table.Row{"subject", "messages", "oldest", "why"})
	for _, k := range found.Kinds {
		oldest := ""
		if !k.Oldest.IsZero() {
			oldest = cli.Ago(time.Since(k.Oldest))
		}
		t.AppendRow(table.Row{cli.OneLine(k.Subject), k.Messages, oldest, k.Why})
	}
	a.Printf("%s\n", a.Fitted(t, 4))
}

// findStrays asks the workers what they serve.
func findStrays(ctx context.Context, s *cli.Session, q operate.StrayQuery) (operate.Strays, error) {
	g, err := overview.New(s.JS, overview.Config{Prefix: s.Prefix, Explain: s.Explain})
	if err != nil {
		return operate.Strays{}, err
	}
	served, unknown := g.Served(ctx)
	if unknown == nil {
		q.Serves = func(source string) bool { return served[source] }
	}
	found, err := operate.FindStrays(ctx, s.JS, s.Prefix, q)
	if err == nil && unknown != nil {
		found.Unlearned[0] = "sources that no worker serves: " + unknown.Error()
	}
	return found, err
}

// Run moves.
func (c astrayMoveCommand) Run(ctx context.Context, a *cli.App) error {
	to := operate.Target{Source: c.To, Lane: contract.Lane(c.Lane), DropReplies: c.WithoutReplies}
	if err := to.Validate(); err != nil {
		return cli.Usagef("--to, --lane: %w", err)
	}
	if c.To == "" && c.Lane == "" {
		return cli.Usagef("say where: --to NAME, --lane send or --lane request")
	}
	where := "to their own source"
	if c.To != "" {
		where = "to " + c.To
	}
	return c.change(ctx, a, "moved "+where, func(d *desk, s operate.Strays) (string, error) {
		tokens, known, err := s.Behind(ctx, d.JS, d.Prefix, c.To)
		switch {
		case err != nil || c.To == "" || known && tokens == 0:
			return "", err
		case !known:
			return fmt.Sprintf(" (where %s has messages of the same order already, they come behind these)", c.To), nil
		}
		return fmt.Sprintf(" (of %s %s has messages already: there they come behind these)", cli.Counted(tokens, "order token"), c.To), nil
	}, func(d *desk, s operate.Strays, o operate.StrayOptions) strayIter {
		return strayIter(d.MoveStrays(ctx, s, to, o))
	})
}

// Run makes dead letters.
func (c astrayBuryCommand) Run(ctx context.Context, a *cli.App) error {
	return c.change(ctx, a, "made dead letters", func(_ *desk, s operate.Strays) (string, error) {
		if s.Ordered == 0 {
			return "", nil
		}
		return fmt.Sprintf(" (%d of them have an order: what is published to it later goes before a replay of these)", s.Ordered), nil
	}, func(d *desk, s operate.Strays, o operate.StrayOptions) strayIter {
		return strayIter(d.BuryStrays(ctx, s, o))
	})
}

type strayIter func(yield func(operate.Strayed, error) bool)

// change finds them, asks, and does it.
func (c astrayChoice) change(ctx context.Context, a *cli.App, verb string, order func(*desk, operate.Strays) (string, error), do func(*desk, operate.Strays, operate.StrayOptions) strayIter) error {
	switch {
	case c.Source == "" && c.Subject == "" && !c.All:
		return cli.Usagef("say which: --source NAME, --subject SUBJECT, or --all")
	case c.Rate != 0 && c.Rate < 1:
		return cli.Usagef("--rate: %g; use 1 or more messages per second, or 0 for no bound", c.Rate)
	}
	if err := cli.CheckSource(c.Source); err != nil {
		return err
	}
	d, err := openDesk(ctx, a)
	if err != nil {
		return err
	}
	defer d.Close()
	found, err := findStrays(ctx, d.Session, operate.StrayQuery{Source: c.Source, Subject: c.Subject})
	if err != nil {
		return d.Explain(err)
	}
	unlearned(a, found)
	if found.Messages == 0 {
		fmt.Fprintln(a.Stderr, "no message is astray")
		return nil
	}
	note, err := order(d, found)
	if err != nil {
		return d.Explain(err)
	}
	if err := a.Confirm(ctx, cli.Counted(int(found.Messages), "message")+" would be "+verb+note, c.Force || c.DryRun); err != nil {
		return err
	}
	if note != "" && (c.Force || c.DryRun) {
		fmt.Fprintln(a.Stderr, "redoxworker: order:"+note)
	}
	o := operate.StrayOptions{DryRun: c.DryRun, Reason: c.Reason}
	if c.Rate > 0 {
		o.Pace = rate.NewLimiter(rate.Limit(c.Rate), 64).Wait
	}
	r := &strayRun{app: a, total: int(found.Messages), dry: c.DryRun, outcomes: map[operate.StrayOutcome]int{}, bar: cli.NewProgressBar(a, int64(found.Messages), progress.UnitsDefault)}
	return r.result(ctx, d.Explain(r.each(do(d, found, o))))
}

// strayRun tells what becomes of messages astray.
type strayRun struct {
	app      *cli.App
	total    int
	dry      bool
	outcomes map[operate.StrayOutcome]int
	done     int
	bar      *cli.ProgressBar
}

func (r *strayRun) each(run strayIter) (failed error) {
	run(func(one operate.Strayed, err error) bool {
		if err == nil {
			r.outcomes[one.Outcome]++
			err = r.print(one)
		}
		if failed = err; err != nil {
			return false
		}
		r.done++
		r.bar.Show(int64(r.done), fmt.Sprintf("%d of %s", r.done, cli.Counted(r.total, "message")))
		return true
	})
	return failed
}

// print one row: on a terminal only what stays where it is, and a dry run.
func (r *strayRun) print(one operate.Strayed) error {
	if r.app.Globals.JSON {
		return json.NewEncoder(r.app.Stdout).Encode(struct {
			operate.Strayed
			DryRun bool `json:"dry_run,omitempty"`
		}{one, r.dry})
	}
	if cli.IsTerminal(r.app.Stdout) && one.Outcome != operate.Left && !r.dry {
		return nil
	}
	outcome := string(one.Outcome)
	if r.dry && one.Outcome != operate.Left {
		outcome = "would be " + outcome
	}
	return r.bar.Println(r.app.Stdout, strings.Join([]string{cli.Printable(one.ID), one.Source, outcome, one.Reason}, "\t"))
}

func (r *strayRun) result(ctx context.Context, err error) error {
	r.bar.End(err)
	var parts []string
	for _, o := range []operate.StrayOutcome{operate.Moved, operate.AlreadyMoved, operate.Buried, operate.AlreadySettled, operate.Left} {
		if n := r.outcomes[o]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	if text := strings.Join(parts, ", "); text != "" && r.dry {
		fmt.Fprintln(r.app.Stderr, "dry run, nothing was changed; it would be", text)
	} else if text != "" {
		fmt.Fprintln(r.app.Stderr, text)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		if rest := r.total - r.done; rest > 0 && r.done > 0 {
			return fmt.Errorf("%w; %s left: run the same command again to go on", err, cli.Counted(rest, "message"))
		}
		return err
	}
	if r.outcomes[operate.Left] > 0 {
		return cli.ErrReported // each has been named
	}
	return nil
}
