package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/redoxworker/redoxworker/outbox"
)

// deadRun tells what becomes of dead letters, and what came of it all.
type deadRun struct {
	app   *app
	total int
	dry   bool
	verb  string // what is done to them: "sent again"

	outcomes map[outbox.Outcome]int
	dropped  int // deadlines
	bar      *deadBar
}

func newDeadRun(a *app, total int, dry bool, verb string) *deadRun {
	r := &deadRun{app: a, total: total, dry: dry, verb: verb, outcomes: map[outbox.Outcome]int{}}
	if isTerminal(a.stderr) && !a.globals.JSON {
		r.bar = newDeadBar(a.stderr, total)
	}
	return r
}

// each prints what becomes of each, and passes it on.
func (r *deadRun) each(run iter.Seq2[outbox.Handled, error], then func(outbox.Handled)) error {
	for h, err := range run {
		if err != nil {
			return err
		}
		then(h)
		r.outcomes[h.Outcome]++
		if h.DeadlineDropped {
			r.dropped++
		}
		if err := r.print(h); err != nil {
			return err
		}
		r.bar.step()
	}
	return nil
}

func nothing(outbox.Handled) {}

// print one row: a JSON line when asked for, else columns between tabs. On a terminal, where
// a bar shows how far it is, only what stays is worth a line, and a dry run.
func (r *deadRun) print(h outbox.Handled) error {
	if r.app.globals.JSON {
		return json.NewEncoder(r.app.stdout).Encode(struct {
			outbox.Handled
			DryRun bool `json:"dry_run,omitempty"`
		}{h, r.dry})
	}
	if isTerminal(r.app.stdout) && h.Outcome.Removed() && !r.dry {
		return nil
	}
	r.bar.clear()
	outcome := string(h.Outcome)
	if r.dry && h.Outcome.Removed() && h.Outcome != outbox.Gone {
		outcome = "would be " + r.verb
	}
	_, err := fmt.Fprintln(r.app.stdout, strings.Join([]string{printable(h.MessageID), orNone(h.Source), string(h.Settlement), outcome, h.ReplayID, h.Reason}, "\t"))
	return err
}

// result prints the summary and answers how the command ends. missing is the number of ids
// that had no dead letter.
func (r *deadRun) result(ctx context.Context, err error, missing int) error {
	r.bar.clear()
	done := 0
	for _, n := range r.outcomes {
		done += n
	}
	fmt.Fprintln(r.app.stderr, r.summary())
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		if rest := r.total - done; rest > 0 && !errors.As(err, new(canaryError)) {
			return fmt.Errorf("%w; %s left: run the same command again to go on", err, counted(rest, "dead letter"))
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
		return errReported // each has been named
	}
	return nil
}

func (r *deadRun) summary() string {
	var parts []string
	for _, o := range []outbox.Outcome{outbox.Replayed, outbox.AlreadyReplayed, outbox.Discarded, outbox.Gone, outbox.Refused, outbox.Late, outbox.Behind, outbox.Busy} {
		if n := r.outcomes[o]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	if len(parts) == 0 {
		parts = []string{"no dead letters"}
	}
	text := strings.Join(parts, ", ")
	if r.dropped > 0 {
		text += fmt.Sprintf("; %s without the deadline that has passed", counted(r.dropped, "message"))
	}
	if r.dry {
		text = "dry run, nothing was changed: " + text
	}
	return text
}

// deadBar shows on a terminal how far it is, once it takes a while. A nil bar shows nothing.
type deadBar struct {
	out   io.Writer
	begun time.Time
	bar   *progressbar.ProgressBar
}

func newDeadBar(out io.Writer, total int) *deadBar {
	b := &deadBar{out: out, begun: time.Now()}
	b.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(b), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	return b
}

// Write draws, if it is time.
func (b *deadBar) Write(p []byte) (int, error) {
	if time.Since(b.begun) < progressAfter {
		return len(p), nil
	}
	return b.out.Write(p)
}

func (b *deadBar) step() {
	if b != nil {
		_ = b.bar.Add(1) // a bar that cannot be drawn is no reason to stop
	}
}

// clear makes room for a line of text.
func (b *deadBar) clear() {
	if b != nil {
		_ = b.bar.Clear()
	}
}
