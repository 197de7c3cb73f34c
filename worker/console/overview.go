package console

import (
	"cmp"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/operate"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// shownBacklogs and shownPauses are how many of them the first page shows; all are asked for by its address.
const shownBacklogs, shownPauses = 50, 50

// overviewData is what the first page shows.
type overviewData struct {
	*overview.Overview
	Backlog, Out, DeadLine template.HTML
	Shown                  []overview.Backlog
	More                   int // backlogs that are not shown
	ShownPauses            []overview.Pause
	MorePauses             int
	paused                 map[string]bool // sources, by an operator
	Breakers               []breaker
	AllPaused              bool
	Fleet                  bool // the user may see what is of no source
}

// breaker is that of one host, as the workers have it that are worst off.
type breaker struct{ Host, State string }

func (r *request) view() (*overview.Overview, error) {
	view, err := r.console.view.latest(r.Context())
	if err != nil {
		return nil, err
	}
	return restricted(view, r.user), nil
}

// showOverview shows what goes on; to programs as status --json does.
func (c *Console) showOverview(w http.ResponseWriter, r *request) error {
	view, err := r.view()
	if err != nil {
		return err
	}
	all := r.FormValue("all") != ""
	if all || r.json { // of thousands of sources that is much
		free, err := r.busy()
		if err != nil {
			return err
		}
		defer free()
	}
	if r.json {
		r.writeJSON(w, http.StatusOK, view)
		return nil
	}
	data := overviewData{Overview: view, Shown: view.Backlogs, Breakers: breakers(view), Fleet: r.user.May(access.See, "")}
	if data.Fleet {
		past := c.view.past()
		data.Backlog = spark(past, "messages that wait", func(p point) float64 { return p.backlog })
		data.Out = spark(past, "settled a second", func(p point) float64 { return p.out })
		data.DeadLine = spark(past, "dead letters", func(p point) float64 { return p.dead })
	}
	if !all && len(view.Backlogs) > shownBacklogs {
		data.Shown, data.More = view.Backlogs[:shownBacklogs], len(view.Backlogs)-shownBacklogs
	}
	data.pauses(all)
	page := r.page("overview", "Overview", data)
	page.Live = !all
	return r.show(w, page)
}

// breakers of all hosts, those that are not closed first.
func breakers(v *overview.Overview) []breaker {
	worst := map[string]string{}
	for _, w := range v.Workers {
		for host, state := range w.Status.Breakers {
			if before := worst[host]; before == "" || before == "closed" {
				worst[host] = state
			}
		}
	}
	all := make([]breaker, 0, len(worst))
	for host, state := range worst {
		all = append(all, breaker{host, state})
	}
	slices.SortFunc(all, func(a, b breaker) int {
		if (a.State == "closed") != (b.State == "closed") {
			if b.State == "closed" {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Host, b.Host)
	})
	return all
}

// Aloud is what a screen reader says when it changes: not what changes all the time.
func (d overviewData) Aloud() string {
	persons := 0
	for _, n := range d.Needs {
		if n.Person {
			persons++
		}
	}
	text := plural(persons, "matter") + " for a person"
	if d.Dead != nil {
		text += ", " + plural(d.Dead.Messages, "dead letter")
	}
	return text + "."
}

// DeadOf is how many dead letters a source has.
func (d overviewData) DeadOf(source string) uint64 {
	if d.Dead == nil {
		return 0
	}
	return d.Dead.Sources[source]
}

// pauses are shown with those of operators first, which somebody may end here.
func (d *overviewData) pauses(all bool) {
	d.paused = map[string]bool{}
	var others []overview.Pause
	for _, p := range d.Pauses {
		if !p.Operator {
			others = append(others, p)
			continue
		}
		d.ShownPauses, d.AllPaused = append(d.ShownPauses, p), d.AllPaused || p.Scope == allScope
		if source, destination, ok := p.Target(); ok && destination == "" {
			d.paused[source] = true
		}
	}
	d.ShownPauses = append(d.ShownPauses, others...)
	if !all && len(d.ShownPauses) > shownPauses {
		d.ShownPauses, d.MorePauses = d.ShownPauses[:shownPauses], len(d.ShownPauses)-shownPauses
	}
}

// PauseOf reports whether an operator has paused a source.
func (d overviewData) PauseOf(source string) bool { return d.paused[source] }

// ended is an operator's pause that somebody may end.
type ended struct{ Source, Destination string }

// Ends is what an operator's pause is about that is ended beside it; nil for other pauses, and for that of all.
func (overviewData) Ends(p overview.Pause) *ended {
	source, destination, ok := p.Target()
	if !ok || source == "" && destination == "" {
		return nil
	}
	return &ended{source, destination}
}

// place is where in the console something is done: a path below its root, and what it is called.
type place struct{ Path, Title string }

// places are where what a need tells of is done, by how its text or the command that mends it begins.
var places = [...]struct {
	begins string
	place
}{
	{"redoxworker dlq ls", place{"dead", "Dead letters"}}, {"redoxworker resume", place{"#pauses-title", "Pauses"}}, {"redoxworker workers", place{"workers", "Workers"}},
	{"redoxworker keys check", place{"keys", "Keys"}}, {"key ", place{"keys", "Keys"}}, {"worker ", place{"workers", "Workers"}}, {"outbox: ", place{"outbox", "Outbox"}},
	{"check its Source ID and key", place{"sources", "Sources"}}, {"run a worker that serves it", place{"sources", "Sources"}},
}

// Place is where in the console that is done which a need tells of; empty where it is not.
func (overviewData) Place(n overview.Need) place {
	for _, one := range places {
		if strings.HasPrefix(n.Mend, one.begins) || strings.HasPrefix(n.Text, one.begins) {
			return one.place
		}
	}
	return place{}
}

// pauseResult is what a program is told of a pause, as the command does.
type pauseResult struct {
	Scope   string `json:"scope"` // "all", "source:<name>", "dest:<source>:<destination>" or "dest:*:<destination>"
	Paused  bool   `json:"paused"`
	Changed bool   `json:"changed"`
	For     string `json:"for,omitempty"` // of a pause with an end
	Reason  string `json:"reason,omitempty"`
}

// target is what a form names: a source, or with all=1, and not by mistake, all of them, and of either one
// destination, or none.
type target struct {
	source, destination, scope string
	desk                       *operate.Desk
}

func (r *request) target(a access.Action) (t target, err error) {
	t.source, t.destination = r.FormValue("source"), strings.ToLower(r.FormValue("destination"))
	switch all := r.FormValue("all") == "1"; {
	case all && t.source == "":
		t.scope = allScope
	case all:
		return t, &problem{Status: http.StatusUnprocessableEntity, Text: "name a source, or all, not both"}
	default:
		if err := contract.CheckSource(t.source); err != nil {
			return t, invalid(err)
		}
		t.scope = "source:" + t.source
	}
	if t.destination != "" {
		if err := worker.CheckDestination(t.destination); err != nil {
			return t, invalid(err)
		}
		t.scope = "dest:" + cmp.Or(t.source, "*") + ":" + t.destination
	}
	if err := r.may(a, t.source); err != nil {
		return t, err
	}
	t.desk, err = r.desk()
	return t, err
}

// pause has no worker send messages of a source, or of all, or of these to one destination.
func (c *Console) pause(w http.ResponseWriter, r *request) error {
	t, err := r.target(access.Pause)
	if err != nil {
		return err
	}
	reason, err := r.reason(true)
	if err != nil {
		return err
	}
	var length time.Duration
	if text := r.FormValue("for"); text != "" {
		if length, err = time.ParseDuration(text); err != nil || length <= 0 {
			return &problem{Status: http.StatusUnprocessableEntity, Text: "for how long: write 30m or 2h, say, or leave it out for a pause until somebody ends it"}
		}
	}
	if t.destination != "" {
		err = t.desk.PauseDestination(r.Context(), t.source, t.destination, length, reason)
	} else {
		err = t.desk.Pause(r.Context(), t.source, length, reason)
	}
	if err != nil {
		return err
	}
	c.view.done()
	result := pauseResult{Scope: t.scope, Paused: true, Changed: true, Reason: reason}
	if length > 0 {
		result.For = length.String()
	}
	return r.seeOther(w, "?done=paused", result)
}

// resume ends such a pause.
func (c *Console) resume(w http.ResponseWriter, r *request) error {
	t, err := r.target(access.Resume)
	if err != nil {
		return err
	}
	reason, err := r.reason(false)
	if err != nil {
		return err
	}
	var changed bool
	if t.destination != "" {
		changed, err = t.desk.ResumeDestination(r.Context(), t.source, t.destination, reason)
	} else {
		changed, err = t.desk.Resume(r.Context(), t.source, reason)
	}
	if err != nil {
		return err
	}
	c.view.done()
	done := "resumed"
	if !changed {
		done = "not-paused"
	}
	return r.seeOther(w, "?done="+done, pauseResult{Scope: t.scope, Changed: changed, Reason: reason})
}
