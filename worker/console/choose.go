package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

const (
	// mostChosen bounds the dead letters that are chosen one by one, and lookedUp those of which the
	// sources are looked up, so that only what is of these is read.
	mostChosen, lookedUp = 1000, 100
	// mostDry bounds the dead letters of which it is tried what would become of them.
	mostDry = 50
	// mostReasons bounds the reasons for which some would stay.
	mostReasons = 5
	// defaultRate is how many are sent again a second, mostRate how many may be.
	defaultRate, mostRate = 10, 10_000
)

// chosen are the dead letters that something is to be done to: those of a filter, or some of them.
type chosen struct {
	Action string // replay, discard or export
	All    bool   // of the filter
	Filter filter
	Places []uint64
	// Through is the last place in the stream that counts: what dies later is not meant.
	Through uint64
}

// chosen is what a form says.
func (r *request) chosen() (chosen, error) {
	if err := r.ParseForm(); err != nil {
		return chosen{}, err
	}
	action, all := strings.CutSuffix(r.FormValue("action"), "-all")
	x := chosen{Action: action, All: all || r.FormValue("all") == "1", Filter: r.filter()}
	switch access.Action(action) {
	case access.Replay, access.Discard, access.Export:
		if err := r.user.CheckAny(access.Action(action)); err != nil {
			return x, refused(err)
		}
	default:
		return x, &problem{Status: http.StatusUnprocessableEntity, Text: "action: use replay, discard or export"}
	}
	var err error
	if x.Through, err = r.number("through", 0, 0); err != nil {
		return x, err
	}
	for _, text := range r.Form["chosen"] {
		place, err := strconv.ParseUint(text, 10, 64)
		if err != nil || place == 0 {
			return x, &problem{Status: http.StatusUnprocessableEntity, Text: "chosen: use numbers of dead letters"}
		}
		x.Places = append(x.Places, place)
	}
	switch {
	case x.All:
		x.Places = nil
	case len(x.Places) == 0:
		return x, &problem{Status: http.StatusUnprocessableEntity, Text: "nothing is chosen", Mend: "mark some rows, or take all of the filter"}
	case len(x.Places) > mostChosen:
		return x, &problem{Status: http.StatusUnprocessableEntity, Text: "more than " + count(mostChosen) + " are chosen one by one", Mend: "take all of a filter"}
	}
	return x, nil
}

// query is what is chosen, of what the user may do that to.
func (x chosen) query(r *request) (q dlq.Query, err error) {
	a := access.Action(x.Action)
	if x.All {
		q, err = x.Filter.query(r, a)
		q.Through = x.Through
		return q, err
	}
	q.Places = x.Places
	if len(x.Places) <= lookedUp {
		for _, place := range x.Places {
			l, err := r.console.letters.At(r.Context(), place)
			if errors.Is(err, dlq.ErrNotFound) && len(x.Places) > 1 {
				continue // gone meanwhile
			}
			if err != nil {
				return q, err
			}
			source := sourceName(l.Source)
			if err := r.may(a, source); err != nil {
				return q, err
			}
			if !slices.Contains(q.Sources, source) {
				q.Sources = append(q.Sources, source)
			}
		}
	}
	restrict(&q, r.user.Patterns(a))
	return q, nil
}

// chooseData is what the page before a deed shows.
type chooseData struct {
	chosen
	Count   int
	Of      string // the filter, as the audit trail has it
	Tried   int
	Would   []outcome
	Because []string // why some of these would stay
	Rate    int
	Changed bool // the count is not what it was
	Before  int
}

// Back is where the filter was.
func (x chosen) Back() string { return address("dead", x.Filter.Values()) }

// outcome is how many have become what.
type outcome struct {
	Outcome  dlq.Outcome `json:"outcome"`
	Messages int         `json:"messages"`
}

// choose counts what is chosen, and says what would become of it.
func (c *Console) choose(w http.ResponseWriter, r *request) error {
	x, err := r.chosen()
	if err != nil {
		return err
	}
	if x.Through == 0 {
		if x.Through, err = c.letters.Last(r.Context()); err != nil {
			return err
		}
	}
	s, err := x.selected(r)
	if err != nil {
		return err
	}
	return c.confirm(w, r, x, s, -1)
}

// selected are the dead letters that are chosen.
func (x chosen) selected(r *request) (dlq.Selection, error) {
	q, err := x.query(r)
	if err != nil {
		return dlq.Selection{}, err
	}
	free, err := r.busy()
	if err != nil {
		return dlq.Selection{}, err
	}
	defer free()
	return r.console.letters.Select(r.Context(), q)
}

// confirm asks whether that many are meant. before is how many there were when that was asked before;
// −1 where it was not.
func (c *Console) confirm(w http.ResponseWriter, r *request, x chosen, s dlq.Selection, before int) error {
	data := chooseData{chosen: x, Count: s.Len(), Of: s.Query().String(), Rate: defaultRate, Changed: before >= 0, Before: before}
	if data.Of == "" {
		data.Of = "those that were chosen"
	}
	if x.Action != string(access.Export) {
		if err := c.try(r.Context(), s, &data); err != nil {
			return err
		}
	}
	status := http.StatusOK
	if data.Changed {
		status = http.StatusConflict
	}
	if r.json {
		r.writeJSON(w, status, map[string]any{"action": x.Action, "count": data.Count, "through": x.Through, "filter": data.Of, "tried": data.Tried, "would": data.Would, "because": data.Because})
		return nil
	}
	p := r.page("choose", strings.ToUpper(x.Action[:1])+x.Action[1:], data)
	p.Screen, p.status = "dead", status
	return r.show(w, p)
}

// try says what would become of the first of s.
func (c *Console) try(ctx context.Context, s dlq.Selection, data *chooseData) error {
	head, _ := s.Split(mostDry)
	each := c.letters.Replay(ctx, head, dlq.ReplayOptions{DryRun: true})
	if data.Action == string(access.Discard) {
		each = c.letters.Discard(ctx, head, dlq.DiscardOptions{DryRun: true})
	}
	counts := map[dlq.Outcome]int{}
	for h, err := range each {
		if err != nil {
			return err
		}
		data.Tried++
		if counts[h.Outcome]++; h.Reason != "" && !slices.Contains(data.Because, h.Reason) {
			data.Because = append(data.Because, h.Reason)
		}
	}
	data.Would, data.Because = outcomes(counts), data.Because[:min(len(data.Because), mostReasons)]
	return nil
}

// outcomes are sorted by their names.
func outcomes(counts map[dlq.Outcome]int) []outcome {
	all := make([]outcome, 0, len(counts))
	for o, n := range counts {
		all = append(all, outcome{o, n})
	}
	slices.SortFunc(all, func(a, b outcome) int { return strings.Compare(string(a.Outcome), string(b.Outcome)) })
	return all
}

// start begins a replay or a discard of what was confirmed, counted again.
func (c *Console) start(w http.ResponseWriter, r *request) error {
	x, err := r.chosen()
	if err != nil {
		return err
	}
	reason, err := r.reason(true)
	if err != nil {
		return err
	}
	n, err := r.number("count", 0, 0)
	if err != nil {
		return err
	}
	if x.Action == string(access.Export) {
		return &problem{Status: http.StatusUnprocessableEntity, Text: "action: use replay or discard", Mend: "an export is asked for at dead/export"}
	}
	if x.Through == 0 || n == 0 {
		return &problem{Status: http.StatusUnprocessableEntity, Text: "count and through: missing", Mend: "ask for them at dead/choose: only what was counted is done"}
	}
	perSecond, err := r.number("rate", 0, mostRate)
	if err != nil {
		return err
	}
	canary, err := r.number("canary", 0, 1000)
	if err != nil {
		return err
	}
	s, err := x.selected(r)
	if err != nil {
		return err
	}
	if s.Len() > int(n) || s.Len() == 0 {
		return c.confirm(w, r, x, s, int(n))
	}
	j := job{Action: x.Action, By: r.user.Name, From: r.from(), Reason: reason, Filter: s.Query().String(), Query: s.Query(), Patterns: r.user.Patterns(access.Action(x.Action)),
		Total: s.Len(), Rate: int(perSecond), Canary: int(canary), KeepDeadline: r.FormValue("keep_deadline") == "1"}
	if err := c.jobs.start(r.Context(), &j); err != nil {
		return err
	}
	return r.seeOther(w, "replays/"+j.ID, j)
}
