package console

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

const (
	// shownEntries is how many entries of the audit trail are shown, mostEntries how many may be.
	shownEntries, mostEntries = 50, 1000
	// trailSince is since when pages show them, unless they say otherwise.
	trailSince = "7d"
	// trailWait bounds the reading, and trailLive what is read again with every look.
	trailWait, trailLive = 20 * time.Second, 2 * time.Second
)

// trailData is what the page of the audit trail shows.
type trailData struct {
	Source, Action, By, ID, Since, Until string
	Settlements                          bool
	Rows                                 []trailRow
	Limit                                int
}

// trailRow is one entry, for people.
type trailRow struct {
	At                       time.Time
	By, Action, Source, What string
	Outcome, Reason          string
	IDs                      []string
}

// Actions are those that an entry may have.
func (trailData) Actions() []audit.Action { return audit.Actions() }

// showAudit shows what operators did, the newest first; to programs as audit ls --json does.
func (c *Console) showAudit(w http.ResponseWriter, r *request) error {
	data := trailData{Source: r.FormValue("source"), Action: r.FormValue("action"), By: r.FormValue("by"), ID: r.FormValue("id"), Since: r.FormValue("since"), Until: r.FormValue("until"), Settlements: r.FormValue("settlements") == "1"}
	if _, said := r.Form["since"]; !said && !r.json {
		data.Since = trailSince
	}
	q, err := data.query(r)
	if err != nil {
		return err
	}
	limit, err := r.number("limit", shownEntries, mostEntries)
	if err != nil {
		return err
	}
	data.Limit = int(max(1, limit))
	began := time.Now()
	last, err := r.trail(q, data.Limit)
	if err != nil {
		return err
	}
	if r.json {
		var all []audit.Record
		for _, l := range last {
			all = append(all, l.Records()...)
		}
		return writeLines(w, all)
	}
	for _, l := range slices.Backward(last) {
		data.Rows = append(data.Rows, rowOf(l))
	}
	p := r.page("audit", "Audit", data)
	p.Live = !data.Settlements && time.Since(began) < trailLive // what is long is not read again all the time
	return r.show(w, p)
}

func (d trailData) query(r *request) (q audit.Query, err error) {
	q = audit.Query{Source: d.Source, By: d.By, Message: d.ID, Settlements: d.Settlements}
	if d.Source != "" && d.Source != contract.NoSource {
		if err := contract.CheckSource(d.Source); err != nil {
			return q, invalid(err)
		}
		if err := r.may(access.Audit, d.Source); err != nil {
			return q, err
		}
	}
	if a := audit.Action(d.Action); a != "" {
		if !slices.Contains(audit.Actions(), a) {
			return q, &problem{Status: http.StatusUnprocessableEntity, Text: "there is no such action"}
		}
		q.Actions = []audit.Action{a}
	}
	now := time.Now()
	if q.Since, err = instantOf("since", d.Since, now); err != nil {
		return q, err
	}
	q.Until, err = instantOf("until", d.Until, now)
	return q, err
}

// trail reads through the entries and keeps the last ones that the user may see.
func (r *request) trail(q audit.Query, limit int) ([]*audit.Line, error) {
	free, err := r.busy()
	if err != nil {
		return nil, err
	}
	defer free()
	ctx, cancel := context.WithTimeout(r.Context(), trailWait)
	defer cancel()
	tail := audit.NewTail(limit)
	for e, err := range audit.NewReader(r.console.config.JS, r.console.config.Prefix).List(ctx, q) {
		if err != nil {
			return nil, err
		}
		if r.mayRead(e) {
			tail.Add(e)
		}
	}
	return tail.Lines(), nil
}

// mayRead reports whether the user may read an entry: one about several sources, if about all of them.
func (r *request) mayRead(e audit.Record) bool {
	if e.Entry != nil {
		return r.user.May(access.Audit, sourceName(e.Entry.Source))
	}
	d := e.Deed
	switch {
	case d.Source != "":
		return r.user.May(access.Audit, d.Source)
	case len(d.IDs) == 0:
		return r.user.May(access.Audit, "")
	}
	for source := range d.IDs {
		if !r.user.May(access.Audit, source) {
			return false
		}
	}
	return true
}

// mostNamed bounds the ids of an entry that a page names.
const mostNamed = 20

func rowOf(l *audit.Line) trailRow {
	if s := l.Entry; s != nil {
		return trailRow{At: s.Time, By: s.Worker, Action: string(s.Settlement), Source: s.Source, What: s.Error, IDs: []string{s.Message}}
	}
	d, came := l.Deed, l.Deed // an outcome by itself
	switch {
	case d.Outcome != "":
	case l.Outcome != nil:
		came = l.Outcome.Deed
	default:
		came = &audit.Deed{Outcome: "begun"}
	}
	var what []string
	add := func(text string) {
		if text != "" {
			what = append(what, text)
		}
	}
	if d.Count > 1 {
		add(plural(d.Count, "message"))
	}
	add(d.Filter)
	add(d.Detail)
	if len(d.After) > 0 {
		add("now " + string(d.After))
	}
	for _, name := range slices.Sorted(maps.Keys(came.Counts)) {
		add(count(came.Counts[name]) + " " + name)
	}
	add(came.Error)
	row := trailRow{At: d.Time, By: d.By, Action: string(d.Action), Source: d.Source, Outcome: string(came.Outcome), What: strings.Join(what, ", "), Reason: d.Reason}
	for _, source := range slices.Sorted(maps.Keys(d.IDs)) {
		row.IDs = append(row.IDs, d.IDs[source]...)
	}
	if n := len(row.IDs) - mostNamed; n > 0 {
		row.IDs = append(row.IDs[:mostNamed:mostNamed], "and "+count(n)+" more")
	}
	return row
}
