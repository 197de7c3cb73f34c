package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

// filter selects dead letters, as a form or an address says it.
type filter struct {
	Source, Settlement, Kind, Status, Model, Event, Error, ID, Since, Until, Replays string
}

// fields are those of the form, with what they set.
func (f *filter) fields() []struct {
	Name string
	To   *string
} {
	return []struct {
		Name string
		To   *string
	}{{"source", &f.Source}, {"settlement", &f.Settlement}, {"kind", &f.Kind}, {"status", &f.Status}, {"model", &f.Model}, {"event", &f.Event}, {"error", &f.Error}, {"id", &f.ID},
		{"since", &f.Since}, {"until", &f.Until}, {"replays", &f.Replays}}
}

// filter is that of a request.
func (r *request) filter() (f filter) {
	for _, field := range f.fields() {
		*field.To = strings.TrimSpace(r.FormValue(field.Name))
	}
	return f
}

// Hidden are the fields that say something, for a form that hands them on.
func (f filter) Hidden() [][2]string {
	var all [][2]string
	for _, field := range f.fields() {
		if *field.To != "" {
			all = append(all, [2]string{field.Name, *field.To})
		}
	}
	return all
}

// Values are the same for an address.
func (f filter) Values() url.Values {
	v := url.Values{}
	for _, field := range f.Hidden() {
		v.Set(field[0], field[1])
	}
	return v
}

// Any reports whether it leaves anything out.
func (f filter) Any() bool { return len(f.Hidden()) > 0 }

// query is what the filter selects of the dead letters to which the user may do something.
func (f filter) query(r *request, a access.Action) (q dlq.Query, err error) {
	q = dlq.Query{Settlements: one[outbox.Settlement](f.Settlement), Kinds: one[outbox.Kind](f.Kind), Statuses: one[string](f.Status),
		DataModels: one[string](f.Model), EventTypes: one[string](f.Event), Errors: one[string](f.Error), IDs: one[string](f.ID), WithReplays: f.ID != ""}
	if f.Replays != "" {
		if q.Replays, err = strconv.Atoi(f.Replays); err != nil {
			return q, &problem{Status: http.StatusUnprocessableEntity, Text: "replays: write a number, the least that there are"}
		}
	}
	now := time.Now()
	if q.Since, err = instantOf("since", f.Since, now); err != nil {
		return q, err
	}
	if q.Until, err = instantOf("until", f.Until, now); err != nil {
		return q, err
	}
	if f.Source != "" {
		if err := r.may(a, f.Source); err != nil && f.Source != contract.NoSource {
			return q, err
		}
		q.Sources = []string{f.Source}
	}
	restrict(&q, r.user.Patterns(a))
	if err := q.Validate(); err != nil {
		return q, invalid(err)
	}
	return q, nil
}

// noSources is a pattern that no source matches: their names have no underscore, but for that of none.
const noSources = "__"

// restrict has q select of sources that match a pattern only.
func restrict(q *dlq.Query, patterns []string) {
	switch {
	case len(patterns) == 0:
		q.SourcePatterns = []string{noSources}
	case slices.Contains(patterns, "*"):
	case len(q.Sources) == 0 && !strings.ContainsAny(strings.Join(patterns, ""), `*?[\`):
		q.Sources = patterns // which are looked up
	default:
		q.SourcePatterns = patterns
	}
}

func one[T ~string](text string) []T {
	if text == "" {
		return nil
	}
	return []T{T(text)}
}

// instantOf reads an instant, or how long ago it is.
func instantOf(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	days, isDays := strings.CutSuffix(text, "d")
	if n, err := strconv.Atoi(days); err == nil && isDays && n > 0 && n < 100_000 {
		return now.Add(-time.Duration(n) * 24 * time.Hour), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, &problem{Status: http.StatusUnprocessableEntity, Text: name + ": write a time such as 2026-11-30 13:58 (UTC), or so long ago: 90m, 3d"}
}

// number is a field of a form or an address, at least 0; fallback where it is not there.
func (r *request) number(name string, fallback, most uint64) (uint64, error) {
	text := r.FormValue(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || most > 0 && n > most {
		limit := ""
		if most > 0 {
			limit = ", at most " + count(most)
		}
		return 0, &problem{Status: http.StatusUnprocessableEntity, Text: name + ": write a number" + limit}
	}
	return n, nil
}
