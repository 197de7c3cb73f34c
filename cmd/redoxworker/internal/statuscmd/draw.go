package statuscmd

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// mostNeeds bounds the needs that are shown; the rest are counted.
const mostNeeds = 8

// draw puts everything on the screen: what needs a person first.
func (s *screen) draw(o *overview.Overview) {
	s.title(o)
	s.needs(o)
	s.lines = append(s.lines, "")
	s.sums(o)
	s.backlogs(o)
}

func (s *screen) title(o *overview.Overview) {
	state, colour := markWell+" all is well", text.Bold
	persons := 0
	for _, n := range o.Needs {
		if n.Person {
			persons++
		}
	}
	switch {
	case persons > 0:
		state, colour = markPerson+" "+cli.Counted(persons, "thing")+" to see to", text.FgRed
	case !o.Healthy():
		state, colour = markWatch+" something to watch", text.FgMagenta
	}
	line := fmt.Sprintf("%s  %s  %s", o.Prefix, o.Taken.UTC().Format("15:04:05 UTC"), s.paint(colour, state))
	s.lines = append(s.lines, line)
}

func (s *screen) needs(o *overview.Overview) {
	for i, n := range o.Needs {
		if i == mostNeeds && !s.all && len(o.Needs) > mostNeeds+1 {
			s.wrap("  ", "  ", fmt.Sprintf("and %d more: --all shows them", len(o.Needs)-mostNeeds))
			break
		}
		mark, colour := markWatch, text.FgMagenta
		if n.Person {
			mark, colour = markPerson, text.FgRed
		}
		s.wrap(s.paint(colour, mark)+" ", "  ", n.Text)
		if n.Mend != "" {
			s.wrap("  → ", "    ", n.Mend)
		}
	}
	for _, line := range o.Unknown {
		s.wrap(s.paint(text.FgMagenta, "?")+" ", "  ", "not known: "+line)
	}
}

// sums are the lines about the whole.
func (s *screen) sums(o *overview.Overview) {
	if q := o.Queue; q != nil {
		s.put("queue", "%s", shownQueue(o))
	} else {
		s.put("queue", "not known")
	}
	s.put("drain", "%s", o.Drain.Text)
	s.put("workers", "%s", shownWorkers(o))
	for _, q := range o.Quotas {
		s.put("quota", "%s", shownQuota(q))
	}
	if len(o.Keys) > 0 {
		s.put("keys", "%s", shownKeys(o.Keys))
	}
	s.put("dead", "%s", shownDead(o.Dead, o.Taken))
	if n := len(o.Pauses); n > 0 {
		s.put("paused", "%s", shownPauses(o.Pauses))
	}
	if b := o.Outbox; b != nil {
		s.put("outbox", "%s", shownOutbox(b))
	}
	if r := o.Reconcile; r != nil && r.Logs > 0 {
		s.put("followed", "%s at Redox, the oldest for %s", cli.Counted(r.Logs, "log"), cli.Ago(r.Age))
	}
	for i, h := range o.Heads {
		if i == 3 {
			break
		}
		label := ""
		if i == 0 {
			label = "orders"
		}
		s.put(label, "%s", shownHead(h))
	}
}

func shownQueue(o *overview.Overview) string {
	q := o.Queue
	sources := map[string]bool{}
	for _, b := range o.Backlogs {
		sources[b.Source] = true
	}
	line := cli.Counted(q.Messages, "message")
	if len(sources) > 0 {
		line += " of " + cli.Counted(len(sources), "source")
	}
	if q.Messages > 0 {
		line += ", oldest " + cli.Ago(q.Age)
	}
	if q.InHand != nil && *q.InHand > 0 {
		line += fmt.Sprintf(", %d in hand", *q.InHand)
	}
	if q.In != nil && q.Out != nil {
		line += fmt.Sprintf("; %.3g/s in, %.3g/s out", *q.In, *q.Out)
	}
	return line
}

func shownWorkers(o *overview.Overview) string {
	if len(o.Workers) == 0 {
		return "none answered"
	}
	versions, inFlight, room := map[string]int{}, 0, 0
	for _, w := range o.Workers {
		versions[w.Version]++
		inFlight += w.Status.InFlight
		room += w.Status.Concurrency
	}
	line := fmt.Sprintf("%d, %d of %d requests in flight", len(o.Workers), inFlight, room)
	if len(versions) > 1 {
		line += "; versions " + strings.Join(slices.Sorted(maps.Keys(versions)), ", ")
	}
	if o.Silent > 0 {
		line += fmt.Sprintf("; %d did not answer", o.Silent)
	}
	return line
}

func shownQuota(q overview.Quota) string {
	line := fmt.Sprintf("%s: %d of %d in %s used", q.Group, q.Used, q.Requests, cli.Ago(q.Per))
	if q.Held > 0 {
		line += fmt.Sprintf(", %d in the hands of workers", q.Held)
	}
	line += fmt.Sprintf(", %d left", q.Left)
	if q.Pace > 0 {
		line += fmt.Sprintf("; SENDs paced at %.3g/s", q.Pace)
	}
	if q.Next > 0 {
		line += "; the next is free in " + cli.Ago(q.Next)
	}
	return line
}

// shownKeys names those in trouble and counts the others, where they are many.
func shownKeys(keys []overview.Key) string {
	var parts []string
	for i, k := range keys {
		if i == 4 && len(keys) > 5 {
			parts = append(parts, fmt.Sprintf("%d more", len(keys)-i))
			break
		}
		state := "ok"
		switch {
		case k.Trouble > 0:
			state = "IN TROUBLE"
		case k.Tokens == 0:
			state = "no token needed yet"
		}
		parts = append(parts, k.Name+" "+state)
	}
	return strings.Join(parts, ", ")
}

func shownDead(d *overview.Dead, now time.Time) string {
	switch {
	case d == nil:
		return "not known"
	case d.Messages == 0:
		return "no dead letters"
	}
	line := cli.Counted(d.Messages, "dead letter") + ", the newest " + cli.Ago(now.Sub(d.Newest)) + " ago"
	var parts []string
	for _, settlement := range slices.Sorted(maps.Keys(d.Settlements)) {
		parts = append(parts, fmt.Sprintf("%d %s", d.Settlements[settlement], settlement))
	}
	if len(parts) > 0 {
		line += ": " + strings.Join(parts, ", ")
	}
	if len(d.Reasons) > 0 {
		r := d.Reasons[0]
		line += "; "
		if uint64(d.Sample) < d.Messages { // dlq ls --counts counts all
			line += fmt.Sprintf("of the newest %d ", d.Sample)
		}
		line += fmt.Sprintf("mostly “%s”", text.Trim(r.Reason, 60))
	}
	return line
}

func shownPauses(pauses []overview.Pause) string {
	var scopes []string
	for i, p := range pauses {
		if i == 4 && len(pauses) > 5 {
			scopes = append(scopes, fmt.Sprintf("%d more", len(pauses)-i))
			break
		}
		scopes = append(scopes, p.Scope)
	}
	return strings.Join(scopes, ", ")
}

func shownOutbox(b *overview.Outbox) string {
	line := cli.Counted(uint64(max(0, b.Rows)), "row")
	if b.Rows > 0 {
		line += ", oldest " + cli.Ago(b.Age)
	}
	if b.Failed > 0 {
		line += fmt.Sprintf("; %d cannot be published", b.Failed)
	}
	if b.Trouble != "" {
		line += "; " + b.Trouble
	}
	return line
}

func shownHead(h overview.Head) string {
	state := string(h.Why.State)
	switch {
	case h.By != "":
		state = "being sent by " + h.By
	case h.Why.Text != "":
		state = h.Why.Text
	case h.Why.State == overview.Moving:
		state = "its turn comes"
	}
	line := fmt.Sprintf("%s: %s behind %s, %s", h.Source, cli.Counted(h.Messages-1, "message"), h.Head.ID, state)
	if h.Head.Attempts > 0 {
		line += fmt.Sprintf("; %s", cli.Counted(h.Head.Attempts, "attempt"))
	}
	if h.Head.Error != "" {
		line += ", the last: " + h.Head.Error
	}
	return line
}

// sendOrRequest is a lane in a narrow column.
func sendOrRequest(l contract.Lane) string {
	if l == contract.LaneRequest {
		return "request"
	}
	return "send"
}
