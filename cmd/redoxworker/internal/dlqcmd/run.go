package dlqcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/operate"
)

// deadRun tells what becomes of dead letters, and what came of it all.
type deadRun struct {
	app   *cli.App
	total int
	dry   bool
	verb  string // what is done to them: "sent again"

	outcomes map[dlq.Outcome]int
	dropped  int // deadlines
	done     int
	bar      *cli.ProgressBar
}

func newDeadRun(a *cli.App, total int, dry bool, verb string) *deadRun {
	return &deadRun{app: a, total: total, dry: dry, verb: verb, outcomes: map[dlq.Outcome]int{},
		bar: cli.NewProgressBar(a, int64(total), progress.UnitsDefault)}
}

// each prints what becomes of each.
func (r *deadRun) each(run iter.Seq2[dlq.Handled, error]) error {
	for h, err := range run {
		if err != nil {
			return err
		}
		r.outcomes[h.Outcome]++
		if h.DeadlineDropped {
			r.dropped++
		}
		if err := r.print(h); err != nil {
			return err
		}
		r.done++
		r.bar.Show(int64(r.done), fmt.Sprintf("%d of %s", r.done, cli.Counted(r.total, "dead letter")))
	}
	return nil
}

// print one row: a JSON line when asked for, else columns between tabs. On a terminal, where
// a bar shows how far it is, only what stays is worth a line, and a dry run.
func (r *deadRun) print(h dlq.Handled) error {
	if r.app.Globals.JSON {
		return json.NewEncoder(r.app.Stdout).Encode(struct {
			dlq.Handled
			DryRun bool `json:"dry_run,omitempty"`
		}{h, r.dry})
	}
	if cli.IsTerminal(r.app.Stdout) && h.Outcome.Removed() && !r.dry {
		return nil
	}
	outcome := string(h.Outcome)
	if r.dry && h.Outcome.Removed() && h.Outcome != dlq.Gone {
		outcome = "would be " + r.verb
	}
	return r.bar.Println(r.app.Stdout, strings.Join([]string{cli.Printable(h.MessageID), orNone(h.Source), string(h.Settlement), outcome, h.ReplayID, h.Reason}, "\t"))
}

// result prints the summary and answers how the command ends. missing is the number of ids
// that had no dead letter.
func (r *deadRun) result(ctx context.Context, err error, missing int) error {
	r.bar.End(err)
	if len(r.outcomes) > 0 || r.total+missing == 0 { // else there are some, or ids were mistyped
		fmt.Fprintln(r.app.Stderr, r.summary())
	}
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		if rest := r.total - r.done; rest > 0 && !errors.As(err, new(*operate.CanaryError)) && !errors.Is(err, audit.ErrNotKept) {
			return fmt.Errorf("%w; %s left: run the same command again to go on", err, cli.Counted(rest, "dead letter"))
		}
		return err
	}
	stay := 0
	for o, n := range r.outcomes {
		if !o.Removed() {
			stay += n
		}
	}
	if stay+missing > 0 {
		return cli.ErrReported // each has been named
	}
	return nil
}

func (r *deadRun) summary() string {
	var parts []string
	for _, o := range []dlq.Outcome{dlq.Replayed, dlq.AlreadyReplayed, dlq.Discarded, dlq.Gone, dlq.Refused, dlq.Late, dlq.Behind, dlq.Busy} {
		if n := r.outcomes[o]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	if len(parts) == 0 {
		parts = []string{"no dead letters"}
	}
	text := strings.Join(parts, ", ")
	if r.dropped > 0 {
		text += fmt.Sprintf("; %s without the deadline that has passed", cli.Counted(r.dropped, "message"))
	}
	if r.dry {
		text = "dry run, nothing was changed; it would be " + text
	}
	return text
}
