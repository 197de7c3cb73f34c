package checkcmd

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
)

// RetryPlanCommand says when a message is tried again, until when, and what ends it.
type RetryPlanCommand struct {
	Source   string        `placeholder:"NAME" help:"For the messages of this source. Default: of all."`
	Deadline time.Duration `placeholder:"TIME" help:"For a message that has a deadline so long after its first attempt."`
}

// retryPlan is everything that the command shows.
type retryPlan struct {
	Source string `json:"source,omitempty"`
	// Send and Request are those of a message all of whose attempts fail at once.
	Send    lanePlan     `json:"send"`
	Request lanePlan     `json:"request"`
	Answers []answerPlan `json:"answers"`
	// Hold are the sources whose SENDs of unknown outcome are held, all or some.
	Hold []string `json:"hold,omitempty"`
}

// lanePlan is when a message is tried. All times are in nanoseconds and count from the first
// attempt.
type lanePlan struct {
	Attempts []attemptPlan `json:"attempts"`
	// Every is the longest wait from the last of Attempts on, of which half is the average; 0 where
	// all are listed.
	Every time.Duration `json:"then_every_ns,omitempty"`
	// Limit is how long it is tried at most, 0 for ever, and Longest and Average how many attempts
	// that makes with the longest waits, and with the average ones.
	Limit   time.Duration `json:"limit_ns,omitempty"`
	Longest int           `json:"attempts_longest_waits,omitempty"`
	Average int           `json:"attempts_average_waits,omitempty"`
	// Ends is the settlement in the end, and By the setting that brings it about; empty for ever.
	Ends outbox.Settlement `json:"ends,omitempty"`
	By   string            `json:"by,omitempty"`
	// LongestAttempt is how long one may take, and Hanging how many attempts there are where all do.
	LongestAttempt time.Duration `json:"longest_attempt_ns"`
	Hanging        int           `json:"attempts_hanging,omitempty"`
}

// attemptPlan is one attempt.
type attemptPlan struct {
	Attempt int `json:"attempt"`
	// Wait before it is drawn evenly from 0 to this, where Drawn says so.
	Wait  time.Duration `json:"wait_ns"`
	Drawn bool          `json:"drawn"`
	// Average and Latest are when it begins.
	Average time.Duration `json:"average_ns"`
	Latest  time.Duration `json:"latest_ns"`
}

// Run prints the plan. It asks nobody.
func (k RetryPlanCommand) Run(_ context.Context, a *cli.App) error {
	if k.Deadline < 0 {
		return cli.Usagef("--deadline: %s is over; use 10m, say", k.Deadline)
	}
	c, err := a.Load(config.PartKeys | config.PartOrderSecret)
	if err != nil {
		return err
	}
	if _, there := c.Sources[k.Source]; k.Source != "" && !there {
		return cli.Usagef("--source: no source is called %q; configured: %s", k.Source, strings.Join(slices.Sorted(maps.Keys(c.Sources)), ", "))
	}
	p := planOf(c, k.Source, k.Deadline)
	if a.Globals.JSON {
		return json.NewEncoder(a.Stdout).Encode(p)
	}
	p.print(a)
	return nil
}

// planOf the messages of a source, "" for all.
func planOf(c *config.Config, source string, deadline time.Duration) retryPlan {
	age, by := c.Worker.Retry.MaxAge, "worker.retry.max_age"
	if deadline > 0 && (age == 0 || deadline < age) {
		age, by = deadline, "its deadline"
	}
	p := retryPlan{Source: source, Send: planLane(c, age, by), Answers: answersOf(c, source)}
	age, by = c.Worker.Retry.RequestMaxAge, "worker.retry.request_max_age"
	if deadline > 0 {
		age, by = deadline, "its deadline"
	}
	if most := c.Worker.Retry.MaxAge; most > 0 && most < age {
		age, by = most, "worker.retry.max_age"
	}
	p.Request = planLane(c, age, by)
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		s := c.Sources[name]
		switch {
		case source != "" && name != source:
		case s.OnUnknown == config.OnUnknownHold:
			p.Hold = append(p.Hold, name)
		case len(s.Hold) > 0:
			p.Hold = append(p.Hold, name+" ("+strings.Join(s.Hold, " ")+")")
		}
	}
	return p
}

// planLane is the plan of a message that may be tried so long, 0 for ever.
func planLane(c *config.Config, limit time.Duration, by string) lanePlan {
	r := retryOf(c)
	longest, average := walkThrough(r, limit, 0, 1), walkThrough(r, limit, 0, 0.5)
	p := lanePlan{Limit: limit, Longest: longest.attempts, Average: average.attempts, Ends: longest.ends, By: by, LongestAttempt: c.Redox.Timeout}
	if hanging := walkThrough(r, limit, c.Redox.Timeout, 1); hanging.ends != "" {
		p.Hanging = hanging.attempts
	}
	switch longest.ends {
	case outbox.Exhausted:
		p.By = "worker.retry.max_attempts"
	case "":
		p.By = ""
	}
	for i := range longest.begins {
		if i >= len(average.begins) {
			break
		}
		p.Attempts = append(p.Attempts, attemptPlan{i + 1, longest.waits[i], longest.drawn[i], average.begins[i], longest.begins[i]})
		if longest.waits[i] == r.Max && longest.drawn[i] && (longest.attempts == 0 || longest.attempts > i+2) {
			p.Every = r.Max
			break
		}
	}
	return p
}

func (p retryPlan) print(a *cli.App) {
	of := ""
	if p.Source != "" {
		of = " of " + p.Source
	}
	lines := screen{width: a.Width()}
	a.Printf("A SEND%s whose attempts fail, such as with 503:\n%s\n%s", of, p.Send.table(a), lines.wrap(p.Send.String(), 0))
	a.Printf("\n%s", lines.wrap(fmt.Sprintf("A REQUEST%s: %s", of, p.Request), 0))
	a.Printf("\nWhat becomes of a message%s, by what its attempt meets:\n", of)
	t := a.NewTable()
	t.AppendHeader(table.Row{"answer", "counts", "then"})
	for _, one := range p.Answers {
		t.AppendRow(table.Row{one.Answer, one.counts(), one.Then})
	}
	a.Printf("%s\n", a.Fitted(t, 3))
	if len(p.Hold) > 0 {
		a.Printf("\n%s", lines.wrap("Held where the outcome is unknown: "+shortList(p.Hold)+".", 0))
	}
}

func shortList(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func (p lanePlan) table(a *cli.App) string {
	t := a.NewTable()
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 1, Align: text.AlignRight}})
	t.AppendHeader(table.Row{"attempt", "wait before it", "on average at", "at the latest at"})
	for _, one := range p.Attempts {
		wait := span(one.Wait)
		switch {
		case one.Attempt == 1:
			wait = "none"
		case one.Drawn:
			wait = "0s to " + wait
		}
		t.AppendRow(table.Row{one.Attempt, wait, span(one.Average), span(one.Latest)})
	}
	if p.Every > 0 {
		t.AppendRow(table.Row{"…", "0s to " + span(p.Every), "each " + span(p.Every/2), "each " + span(p.Every)})
	}
	return a.Fitted(t, 4)
}

// String says what ends it.
func (p lanePlan) String() string {
	hanging := ""
	if p.Hanging > 0 && p.Hanging < p.Longest {
		hanging = fmt.Sprintf(", %d where each hangs for redox.timeout (%s)", p.Hanging, span(p.LongestAttempt))
	}
	switch {
	case p.Ends == "":
		return "It is tried for ever: neither worker.retry.max_age nor worker.retry.max_attempts ends it."
	case p.Ends == outbox.Exhausted:
		last := p.Attempts[len(p.Attempts)-1]
		text := fmt.Sprintf("It is settled %s after %s (%s)", p.Ends, cli.Counted(p.Longest, "attempt"), p.By)
		if p.Every == 0 {
			text += fmt.Sprintf(", %s after the first on average, %s at the latest", span(last.Average), span(last.Latest))
		}
		return text + "."
	}
	return fmt.Sprintf("It is settled %s after %s (%s): %s on average, %d with the longest waits%s.", p.Ends, span(p.Limit), p.By, cli.Counted(p.Average, "attempt"), p.Longest, hanging)
}

// span is a length of time without the parts that are zero.
func span(d time.Duration) string {
	text := d.Round(time.Millisecond).String()
	if d >= time.Second {
		text = d.Round(time.Second).String()
	}
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
