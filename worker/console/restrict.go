package console

import (
	"slices"
	"strings"

	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// restricted is what of a view a user may see. What tells of all sources, or may name one, is left
// out for who may see some only.
func restricted(v *overview.Overview, u access.User) *overview.Overview {
	if u.May(access.See, "") {
		return v
	}
	may := func(source string) bool { return u.May(access.See, source) }
	r := &overview.Overview{Taken: v.Taken, Prefix: v.Prefix, Needs: []overview.Need{}, Backlogs: []overview.Backlog{}, Heads: []overview.Head{}, Pauses: []overview.Pause{}, Quotas: []overview.Quota{}, Keys: []overview.Key{}, Workers: []overview.Worker{}}
	if v.Queue != nil {
		r.Queue = &overview.Queue{}
	}
	for _, b := range v.Backlogs {
		if !may(b.Source) {
			continue
		}
		r.Backlogs = append(r.Backlogs, b)
		if r.Queue != nil {
			r.Queue.Messages += b.Messages
			r.Queue.Age = max(r.Queue.Age, b.Age)
		}
		if r.Drain.Messages += b.Messages; b.Why.Blocked() {
			r.Drain.Messages, r.Drain.Blocked = r.Drain.Messages-b.Messages, r.Drain.Blocked+b.Messages
			r.Needs = append(r.Needs, overview.Need{Person: needsPerson(b.Why.State), Text: b.Source + ": " + b.Why.Text})
		}
	}
	r.Drain.Text = "not told for some of the sources"
	for _, h := range v.Heads {
		if may(h.Source) {
			r.Heads = append(r.Heads, h)
		}
	}
	for _, p := range v.Pauses {
		if source, ok := sourceOfScope(p.Scope); p.Scope == allScope || source == "*" || ok && may(source) {
			r.Pauses = append(r.Pauses, p)
		}
	}
	if r.Dead = deadOf(v.Dead, may); v.Dead != nil && r.Dead == nil {
		r.Unknown = append(r.Unknown, "dead letters of your sources: there are too many to count")
	}
	if len(v.Unknown) > 0 {
		r.Unknown = append(r.Unknown, "some of what goes on could not be learnt; who may see all sources is told what")
	}
	return r
}

func needsPerson(s overview.State) bool {
	return slices.Contains([]overview.State{overview.Paused, overview.Refused, overview.NoToken, overview.Unserved}, s)
}

// allScope is that of an operator's pause of everything.
const allScope = "all"

// sourceOfScope is the source that a pause is about.
func sourceOfScope(scope string) (string, bool) {
	kind, rest, _ := strings.Cut(scope, ":")
	source, _, _ := strings.Cut(rest, ":")
	return source, kind == "source" || kind == "dest"
}

// deadOf counts those of some sources; nil where they are not counted by source.
func deadOf(d *overview.Dead, may func(string) bool) *overview.Dead {
	if d == nil || d.Sources == nil && d.Messages > 0 {
		return nil
	}
	r := &overview.Dead{Sources: map[string]uint64{}}
	for source, n := range d.Sources {
		if may(source) {
			r.Sources[source] = n
			r.Messages += n
		}
	}
	return r
}
