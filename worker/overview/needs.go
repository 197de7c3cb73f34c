package overview

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// mostNamed bounds what one line names, and mostAlike the lines of one kind: beyond, one
	// line tells of all.
	mostNamed = 3
	mostAlike = 3
)

// judge says what somebody should know, and when the queue will be empty.
func (x *gathering) judge() {
	v := &x.view
	x.countSilent()
	x.waits = map[string][]*Backlog{}
	for i := range v.Backlogs {
		b := &v.Backlogs[i]
		x.waits[b.Why.Scope] = append(x.waits[b.Why.Scope], b)
	}
	v.Unknown = unknown(x.doubts)
	x.judgeFaults()
	x.judgeWorkers()
	x.judgeKeys()
	x.judgePauses()
	x.judgeBacklogs()
	x.judgeProblems()
	if v.Queue != nil && v.Queue.Astray > 0 {
		x.need(true, counted(v.Queue.Astray, "message")+" under subjects that no worker reads", "redoxworker astray ls")
	}
	if v.Dead != nil && v.Dead.Messages > 0 {
		x.need(true, counted(v.Dead.Messages, "dead letter")+ofSources(v.Dead.Sources), "redoxworker dlq ls --counts")
	}
	slices.SortStableFunc(v.Needs, func(a, b Need) int {
		switch {
		case a.Person == b.Person:
			return 0
		case a.Person:
			return -1
		}
		return 1
	})
	v.Drain = x.forecast()
}

func (x *gathering) need(person bool, text, mend string) {
	x.view.Needs = append(x.view.Needs, Need{Person: person, Text: text, Mend: mend})
}

// countSilent counts the leases of workers that did not answer.
func (x *gathering) countSilent() {
	leases, answered := 0, 0
	for _, q := range x.view.Quotas {
		leases += q.Workers
	}
	for _, w := range x.view.Workers {
		if w.Quota != nil {
			answered++
		}
	}
	x.view.Silent = max(0, leases-answered)
}

// judgeFaults tells of what is missing or full. What is missing is mended by one command.
func (x *gathering) judgeFaults() {
	var missing []string
	for _, f := range x.faults {
		if f.Missing {
			missing = append(missing, f.Name)
		}
	}
	if len(missing) > mostAlike {
		x.need(true, fmt.Sprintf("%d streams and buckets do not exist: %s", len(missing), named(missing)), "redoxworker provision")
	}
	for _, f := range x.faults {
		if !f.Missing || len(missing) <= mostAlike {
			x.need(true, f.Detail, "")
		}
	}
}

func (x *gathering) judgeWorkers() {
	v := &x.view
	switch {
	case len(v.Workers) == 0 && x.askedAll:
		x.need(true, "no worker runs", "redoxworker run")
	case len(v.Workers) > 0:
		for _, w := range v.Workers {
			if !w.Ready && !w.Draining {
				x.need(true, "worker "+w.ID+" is not ready", "its log and /readyz say why")
			}
		}
	}
	if v.Silent > 0 {
		x.need(false, counted(v.Silent, "worker")+" that had a share of the limit a moment ago did not answer: gone, or it hangs", "redoxworker workers")
	}
	for _, w := range v.Workers {
		for _, s := range w.Status.Slow {
			x.need(false, fmt.Sprintf("%s is slow: %s being sent by %s, the longest for %s", s.Source, counted(uint64(s.Messages), "message"), w.ID, rounded(s.Longest)), "")
		}
	}
}

// judgeKeys tells of keys in trouble that sources use.
func (x *gathering) judgeKeys() {
	for _, k := range x.view.Keys {
		if k.Trouble == 0 || k.Sources == 0 {
			continue
		}
		text := "key " + k.Name + " does not work"
		if k.Trouble < k.Workers {
			text += fmt.Sprintf(" in %d of %s", k.Trouble, counted(k.Workers, "worker"))
		}
		reason := k.Error
		if p := x.keys["key:"+k.Name]; p != nil && reason == "" {
			reason = because(*p)
		}
		mend := k.Mend
		if mend == "" {
			mend = "redoxworker keys check"
		}
		x.need(true, text+x.waiting("key:"+k.Name)+": "+reason, mend)
	}
}

// judgePauses tells of everything that is paused, one by one where these are few of a kind.
func (x *gathering) judgePauses() {
	kinds, told := map[string][]Pause{}, map[string]bool{}
	for _, k := range x.view.Keys {
		told["key:"+k.Name] = true
	}
	for _, p := range x.view.Pauses {
		kind, _, _ := strings.Cut(p.Scope, ":")
		switch {
		case told[p.Scope]:
			continue // with the key
		case p.Operator:
			of := map[bool]string{true: "destinations", false: "sources"}[kind == "dest"]
			kind = of + pausedByPerson
			if p.Left >= 0 {
				kind += forAWhile
			}
		case p.Refused:
			kind = refusedByRedox
		default:
			kind += down
		}
		kinds[kind] = append(kinds[kind], p)
	}
	for _, kind := range [...]string{refusedByRedox, "sources" + pausedByPerson, "destinations" + pausedByPerson, "key" + down, "host" + down, "group" + down, "source" + down, "dest" + down,
		"sources" + pausedByPerson + forAWhile, "destinations" + pausedByPerson + forAWhile} {
		x.judgeAlike(kind, kinds[kind])
	}
}

// The kinds of pauses, and what they end with.
const (
	refusedByRedox = "sources are refused by Redox"
	pausedByPerson = " are paused by an operator"
	forAWhile      = " for a while"
	down           = " down"
)

// judgeAlike tells of pauses of one kind.
func (x *gathering) judgeAlike(kind string, pauses []Pause) {
	person := kind == refusedByRedox || strings.HasSuffix(kind, pausedByPerson)
	if len(pauses) <= mostAlike {
		for _, p := range pauses {
			x.need(person, onePause(p, x.waiting(p.Scope)), mendOf(p))
		}
		return
	}
	var names, scopes []string
	for _, p := range pauses {
		names, scopes = append(names, strings.TrimPrefix(p.Scope, "source:")), append(scopes, p.Scope)
	}
	text := fmt.Sprintf("%d %s", len(pauses), kind)
	if strings.HasSuffix(kind, down) {
		text = fmt.Sprintf("%d that do not work", len(pauses))
	}
	mend := mendOf(pauses[0])
	if pauses[0].Operator {
		mend += ", and so on"
	}
	x.need(person, text+x.waiting(scopes...)+": "+named(names), mend)
}

func onePause(p Pause, waiting string) string {
	source, destination, _ := p.Target()
	switch {
	case p.Operator && p.Scope == "all":
		return "all sources are paused" + waiting + ", " + lasting(p)
	case destination != "" && source == "":
		return "messages of all sources to " + destination + " are paused " + lasting(p)
	case destination != "":
		return "messages of " + source + " to " + destination + " are paused " + lasting(p)
	case p.Operator:
		return strings.TrimPrefix(p.Scope, "source:") + " is paused" + waiting + ", " + lasting(p)
	case p.Refused:
		return strings.TrimPrefix(p.Scope, "source:") + " is refused by Redox" + waiting + ": " + because(p)
	}
	return p.Scope + " does not work" + waiting + ": " + because(p)
}

func mendOf(p Pause) string {
	source, destination, _ := p.Target()
	command := "redoxworker resume --source " + source
	if source == "" {
		command = "redoxworker resume --all"
	}
	switch {
	case destination != "":
		return command + " --destination " + destination
	case p.Operator:
		return command
	case p.Refused:
		return "check its Source ID and key"
	}
	return ""
}

// waiting is how many messages wait because of the scopes, as part of a sentence.
func (x *gathering) waiting(scopes ...string) string {
	var messages uint64
	sources := map[string]bool{}
	for _, scope := range scopes {
		if strings.HasPrefix(scope, "dest:") {
			continue // which of them go there nobody knows
		}
		for _, b := range x.waits[scope] {
			messages += b.Messages
			sources[b.Source] = true
		}
	}
	switch {
	case messages == 0:
		return ""
	case len(sources) == 1:
		return ", " + counted(messages, "message") + " waiting"
	}
	return fmt.Sprintf(", %s of %s waiting", counted(messages, "message"), counted(len(sources), "source"))
}

// judgeBacklogs tells of what waits for another reason than a pause.
func (x *gathering) judgeBacklogs() {
	if len(x.view.Workers) > 0 {
		x.judgeState(Unserved, "no worker serves ", "run a worker that serves it, or see redoxworker astray ls")
	}
	x.judgeState(Unanswered, "replies cannot be stored of ", "")
}

func (x *gathering) judgeState(state State, text, mend string) {
	var names []string
	var messages uint64
	reason := ""
	for _, b := range x.view.Backlogs {
		if b.Why.State != state {
			continue
		}
		if messages += b.Messages; !slices.Contains(names, b.Source) {
			names = append(names, b.Source)
		}
		if state == Unanswered {
			reason = ": " + b.Why.Text
		}
	}
	if len(names) > 0 {
		x.need(true, text+named(names)+", "+counted(messages, "message")+" waiting"+reason, mend)
	}
}

// judgeProblems tells what workers say, each once, but for what was seen from here.
func (x *gathering) judgeProblems() {
	type said struct {
		line    string
		workers int
	}
	var lines []said
	for _, w := range x.view.Workers {
		for _, line := range w.Problems {
			at := slices.IndexFunc(lines, func(s said) bool { return s.line == line })
			if at < 0 {
				at, lines = len(lines), append(lines, said{line: line})
			}
			lines[at].workers++
		}
		if o := w.Outbox; o != nil && (x.view.Outbox == nil || o.Rows > x.view.Outbox.Rows) {
			x.view.Outbox = o
		}
	}
	for _, s := range lines {
		if slices.ContainsFunc(x.view.Needs, func(n Need) bool { return n.Text == s.line }) {
			continue
		}
		if n := len(x.view.Workers); n > 1 && s.workers < n {
			s.line += fmt.Sprintf(" (%d of %s)", s.workers, counted(n, "worker"))
		}
		x.need(true, s.line, "")
	}
}

// named lists some of many names.
func named(names []string) string {
	if n := len(names); n > mostNamed+1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), n-mostNamed)
	}
	return strings.Join(names, ", ")
}

// ofSources names the sources with most.
func ofSources(counts map[string]uint64) string {
	switch len(counts) {
	case 0:
		return ""
	case 1:
		for name := range counts {
			return " of " + name
		}
	}
	return fmt.Sprintf(" of %d sources", len(counts))
}
