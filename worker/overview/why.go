package overview

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// explainBacklogs says of each backlog why it waits, and puts them in order.
func (x *gathering) explainBacklogs() {
	x.sharePauses()
	for i := range x.view.Backlogs {
		b := &x.view.Backlogs[i]
		consumer := x.config.Prefix.LaneConsumer(b.Source, b.Lane)
		for _, w := range x.view.Workers {
			b.Sending += len(w.InHand[consumer])
		}
		b.Sending = int(min(uint64(b.Sending), b.Messages))
		b.InHand = max(b.InHand, b.Sending)
		b.Why = x.why(b)
	}
	x.orderBacklogs()
}

// orderBacklogs puts the most urgent first.
func (x *gathering) orderBacklogs() {
	slices.SortStableFunc(x.view.Backlogs, func(a, b Backlog) int {
		return cmp.Or(cmp.Compare(urgency[a.Why.State], urgency[b.Why.State]), cmp.Compare(b.Messages, a.Messages))
	})
}

// urgency orders states: first what a person must see to, last what goes by itself.
var urgency = map[State]int{
	Refused: 0, NoToken: 1, Unserved: 2, Paused: 3, Unanswered: 4,
	Down: 10, Limited: 11, Unknown: 12, Retrying: 13, Paced: 20, Moving: 21,
}

// sharePauses adds what workers alone have paused, such as keys, whose tokens they do not share. Of thousands
// of pauses each is found by its scope: it is looked for once for every backlog.
func (x *gathering) sharePauses() {
	at := make(map[string]int, len(x.view.Pauses))
	for i, p := range x.view.Pauses {
		at[p.Scope] = i
	}
	x.pausedIn = map[pausedIn]bool{}
	for _, w := range x.view.Workers {
		for _, p := range w.Status.Pauses {
			x.pausedIn[pausedIn{w.ID, p.Scope}] = true
			if i, known := at[p.Scope]; !known {
				at[p.Scope] = len(x.view.Pauses)
				x.view.Pauses = append(x.view.Pauses, Pause{Paused: p, Worker: w.ID})
			} else if x.view.Pauses[i].Worker != "" {
				x.view.Pauses[i].Worker = "several" // whose they are is told with the workers
			}
		}
	}
	x.sortPauses()
}

// pausedIn is a scope that a worker alone has paused.
type pausedIn struct{ worker, scope string }

// sortPauses finds those that a source may be under: wide ones, its own, and keys.
func (x *gathering) sortPauses() {
	x.wide, x.narrow, x.keys = nil, map[string][]*Pause{}, map[string]*Pause{}
	for i := range x.view.Pauses {
		p := &x.view.Pauses[i]
		kind, rest, _ := strings.Cut(p.Scope, ":")
		source, _, _ := strings.Cut(rest, ":")
		switch {
		case kind == "key":
			x.keys[p.Scope] = p
		case source != "*" && (kind == "source" || kind == "dest"):
			x.narrow[source] = append(x.narrow[source], p)
		default:
			x.wide = append(x.wide, p)
		}
	}
}

// under are the pauses that a source may be under, but for that of its key.
func (x *gathering) under(source string) iter.Seq[*Pause] {
	return func(yield func(*Pause) bool) {
		for _, some := range [...][]*Pause{x.wide, x.narrow[source]} {
			for _, p := range some {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// why messages of a backlog wait: the first reason that holds.
func (x *gathering) why(b *Backlog) Why {
	if p := x.operatorPause(b.Source); p != nil {
		return Why{State: Paused, Scope: p.Scope, Text: "paused " + lasting(*p)}
	}
	scopes, serving := x.scopesOf(b.Source)
	if x.askedAll && len(serving) == 0 {
		if len(x.view.Workers) == 0 {
			return Why{State: Unserved, Text: "no worker runs"}
		}
		return Why{State: Unserved, Text: "no worker serves it"}
	}
	if why, ok := x.broken(b, scopes, serving); ok {
		return why
	}
	for _, w := range serving {
		if text := w.Status.Unanswered[b.Source]; text != "" {
			return Why{State: Unanswered, Text: text}
		}
	}
	if !x.askedAll && len(serving) == 0 {
		return Why{State: Unknown, Text: "workers could not be asked"}
	}
	if why, ok := x.scarce(b, scopes); ok {
		return why
	}
	if b.InHand > 0 && b.Sending == 0 && uint64(b.InHand) >= b.Messages {
		return Why{State: Retrying, Text: "delivered before; comes again after a delay"}
	}
	return Why{State: Moving}
}

// operatorPause is the pause by a person that all of a source is under; nil when there is none.
func (x *gathering) operatorPause(source string) (found *Pause) {
	for p := range x.under(source) {
		if p.Operator && (p.Scope == "all" || p.Scope == "source:"+source && found == nil) {
			found = p
		}
	}
	return found
}

// scopesOf are those that a source depends on, and the workers that serve it.
func (x *gathering) scopesOf(source string) (scopes []string, serving []Worker) {
	for _, w := range x.view.Workers {
		if of, ok := x.served[w.SourcesDigest][source]; ok && !w.Draining {
			scopes, serving = of, append(serving, w)
		}
	}
	return scopes, serving
}

// broken says what does not work: the source itself, its key, the host, a destination.
func (x *gathering) broken(b *Backlog, scopes []string, serving []Worker) (Why, bool) {
	source := b.Source
	for p := range x.under(source) {
		if p.Operator {
			continue
		}
		switch {
		case p.Scope == "source:"+source && p.Refused:
			return Why{State: Refused, Scope: p.Scope, Text: "Redox refuses the source: " + because(*p)}, true
		case p.Scope == "source:"+source:
			return Why{State: Down, Scope: p.Scope, Text: "its messages fail: " + because(*p)}, true
		case !slices.Contains(scopes, p.Scope):
		case strings.HasPrefix(p.Scope, "group:"):
			return Why{State: Limited, Scope: p.Scope, Text: p.Scope + " is paused: " + because(*p)}, true
		default:
			return Why{State: Down, Scope: p.Scope, Text: p.Scope + " does not work: " + because(*p)}, true
		}
	}
	for _, scope := range scopes {
		if p := x.keys[scope]; p != nil && x.pausedBy(serving, scope) {
			return Why{State: NoToken, Scope: scope, Text: scope + " does not work: " + because(*p)}, true
		}
	}
	if (x.listed || x.counted) && b.InHand <= b.Sending { // none was handed back: none goes to a destination that is paused
		return Why{}, false
	}
	return x.held(source)
}

// held says which destination of a source is paused: by a person, or as it does not work.
func (x *gathering) held(source string) (why Why, is bool) {
	for p := range x.under(source) {
		switch _, destination, _ := p.Target(); {
		case p.Holds(source):
			return Why{State: Retrying, Scope: p.Scope, Text: "messages to " + destination + " are paused " + lasting(*p)}, true
		case !is && !p.Operator && strings.HasPrefix(p.Scope, "dest:"+source+":"):
			why, is = Why{State: Retrying, Scope: p.Scope, Text: p.Scope + " does not work: " + because(*p)}, true
		}
	}
	return why, is
}

// pausedBy reports whether every one of the workers has paused the scope.
func (x *gathering) pausedBy(workers []Worker, scope string) bool {
	for _, w := range workers {
		if !x.pausedIn[pausedIn{w.ID, scope}] {
			return false
		}
	}
	return len(workers) > 0
}

// scarce says that the limit of requests is what they wait for.
func (x *gathering) scarce(b *Backlog, scopes []string) (Why, bool) {
	for _, q := range x.view.Quotas {
		if !slices.Contains(scopes, "group:"+q.Group) {
			continue
		}
		switch {
		case q.Left == 0 && q.Requests > 0 && q.Next > 0:
			return Why{State: Limited, Text: fmt.Sprintf("the limit of group %s is used up; the next request is free in %s", q.Group, rounded(q.Next))}, true
		case q.Pace > 0 && b.Lane == contract.LaneSend:
			return Why{State: Paced, Text: fmt.Sprintf("paced at %.3g/s by the limit of group %s", q.Pace, q.Group)}, true
		}
	}
	return Why{}, false
}

// lasting says until when an operator's pause lasts, whose it is and why it is.
func lasting(p Pause) string {
	text := "until somebody resumes it"
	if p.Left >= 0 {
		text = "for " + rounded(p.Left)
	}
	if p.By != "" {
		text += ", by " + p.By
	}
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}

// because says what was met, and when it is tried next.
func because(p Pause) string {
	text := p.Reason
	if text == "" {
		text = "it failed " + times(p.Failures)
	}
	if p.Left > 0 {
		return text + "; tried again in " + rounded(p.Left)
	}
	return text + "; being tried"
}
