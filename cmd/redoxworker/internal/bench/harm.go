package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/devstack"
)

// harmCommand has one source of a fleet meet one trouble after another, while all have light
// steady traffic, and tells what the others feel of it. After each trouble it waits until
// everything is settled, and looks in the record of the simulated Redox whether it came once and in
// order.
type harmCommand struct {
	sceneFleet
	Harms    []string          `arg:"" optional:"" name:"harm" help:"What one source meets, such as hang or flood; all that are listed below by default."`
	Sources  []int             `default:"500" placeholder:"N" help:"Sources of the fleet: ${default}."`
	Rate     int               `default:"100" placeholder:"N" help:"Messages a second of all sources together: ${default}."`
	Duration time.Duration     `default:"20s" placeholder:"TIME" help:"How long latency is measured, before the trouble and during it: ${default}."`
	Many     int               `default:"100000" placeholder:"N" help:"Messages of a flood, and followers of a head that is stuck: ${default}."`
	Some     int               `default:"200" placeholder:"N" help:"Messages that meet the other troubles: ${default}."`
	Quota    devstack.SimQuota `default:"300000/5m" placeholder:"N[/DURATION]" help:"The worker's quota: ${default}."`
	Patience time.Duration     `default:"5m" placeholder:"TIME" help:"How long everything may take to be settled after a trouble: ${default}."`
}

// Help lists the harms.
func (harmCommand) Help() string {
	var b strings.Builder
	b.WriteString("Harms:\n")
	for _, h := range allHarms() {
		fmt.Fprintf(&b, "  %-13s %s\n", h.name, h.about)
	}
	b.WriteString("\nLatency is from being published to the reply, of the messages of all sources but the one in trouble. It needs a\nmachine that does nothing else. The exit code is 1 when a message was lost, doubled or out of order, or when\n/readyz or `redoxworker status` did not name the trouble, whatever the latency.\n")
	return b.String()
}

// Bounds of the flags.
const (
	harmMaxRate = 2_000
	harmMaxMany = 1_000_000
)

// Run measures.
func (h *harmCommand) Run(ctx context.Context, a *cli.App) error {
	harms, err := h.validate()
	if err != nil {
		return err
	}
	var results []harmResult
	for _, n := range h.Sources {
		if err = h.fleet(ctx, a, n, harms, &results); err != nil {
			break
		}
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	switch { // what was measured is shown in any case
	case len(results) == 0:
	case a.Globals.JSON:
		err = errors.Join(err, json.NewEncoder(a.Stdout).Encode(results))
	default:
		a.Printf("%s\n", harmTable(results))
	}
	if err == nil && slices.ContainsFunc(results, func(r harmResult) bool { return !r.kept() }) {
		fmt.Fprintln(a.Stderr, "redoxworker: not all harms were kept from others: see the table")
		return cli.ErrReported
	}
	return err
}

func (h *harmCommand) validate() (harms []harmKind, err error) {
	var mistakes mistakes
	bad, within := mistakes.bad, mistakes.within
	all := allHarms()
	for _, name := range h.Harms {
		i := slices.IndexFunc(all, func(b harmKind) bool { return b.name == name })
		if bad(i < 0, "harm: there is no %q; see redoxworker bench harm --help", name); i >= 0 {
			harms = append(harms, all[i])
		}
	}
	if len(h.Harms) == 0 {
		harms = all
	}
	for _, n := range h.Sources {
		within("--sources", n, 3, maxSources)
	}
	within("--rate", h.Rate, 1, harmMaxRate)
	bad(h.Duration <= 0 || h.Duration > 10*time.Minute, "--duration: %v; use more than 0s, up to 10m", h.Duration)
	within("--many", h.Many, 1, harmMaxMany)
	within("--some", h.Some, 1, harmMaxMany)
	bad(h.Latency < 0 || h.Latency > 10*time.Second, "--latency: %v; use 0s to 10s", h.Latency)
	bad(h.Patience <= 0, "--patience: %v; use more than 0s", h.Patience)
	return harms, errors.Join(mistakes...)
}

// quotaLine is the worker's quota in its configuration.
func quotaLine(q devstack.SimQuota) string {
	per := q.Per
	if per == 0 {
		per = 5 * time.Minute
	}
	return fmt.Sprintf("{requests: %d, per: %v}", q.Limit, per)
}

// fleet has one fleet meet all harms in turn.
func (h *harmCommand) fleet(ctx context.Context, a *cli.App, sources int, harms []harmKind, results *[]harmResult) (err error) {
	s, err := h.open(ctx, a, sources, quotaLine(h.Quota))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	warm := time.Duration(4*sources) * time.Second / time.Duration(h.Rate) // each of a source's lanes once
	from, to, err := s.traffic.steady(ctx, h.Rate, min(warm, h.Duration))
	if err != nil {
		return err
	}
	s.traffic.settled(ctx, from, to, -1, h.Patience)
	for _, harm := range harms {
		harmProgress(a, "%s: %s: %s", cli.Counted(sources, "source"), harm.name, harm.about)
		r, err := h.round(ctx, s, harm)
		if err != nil {
			return fmt.Errorf("bench: %s: %w", harm.name, err)
		}
		*results = append(*results, r)
	}
	return nil
}

// round measures before a trouble and during it, ends it, and looks what became of all messages.
func (h *harmCommand) round(ctx context.Context, s *scene, harm harmKind) (r harmResult, err error) {
	r = harmResult{Harm: harm.name, Sources: s.sources, Silent: harm.silent}
	count, err := h.startCount(ctx, s)
	if err != nil {
		return r, err
	}
	from, to, err := s.traffic.steady(ctx, h.Rate, h.Duration)
	if err != nil {
		return r, err
	}
	s.traffic.settled(ctx, from, to, harm.source, stepPatience)
	r.Before = h.lanes(s, from, to, harm.source)

	if err := harm.start(ctx, s); err != nil {
		return r, err
	}
	loaded := make(chan error, 1)
	go func() { loaded <- harm.load(ctx, h, s) }()
	from, to, err = s.traffic.steady(ctx, h.Rate, h.Duration)
	if err = errors.Join(err, <-loaded); err != nil {
		return r, err
	}
	if r.Readyz, r.Status, err = s.told(ctx, harm); err != nil {
		return r, err
	}
	s.traffic.settled(ctx, from, to, harm.source, stepPatience)
	r.During = h.lanes(s, from, to, harm.source)

	ended := time.Now()
	if err := errors.Join(harm.stop(ctx, s), s.answerIn(ctx, 0)); err != nil { // what waits in order goes one by one
		return r, err
	}
	s.drained(ctx, h.Patience)
	r.Drained = time.Since(ended).Seconds()
	return r, errors.Join(count.end(ctx, &r), s.answerIn(ctx, h.Latency))
}

// lanes are the latencies of both.
func (h *harmCommand) lanes(s *scene, from, to, but int) harmLanes {
	return harmLanes{Sends: s.traffic.latency(from, to, but, false), Requests: s.traffic.latency(from, to, but, true)}
}
