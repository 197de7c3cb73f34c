package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// Kind of a violation.
type Kind string

// The guarantees that [Check] holds a record against.
const (
	Lost         Kind = "lost"             // confirmed to its publisher, and neither taken by the far side nor dead
	Left         Kind = "left in queue"    // still in the work queue
	StoredTwice  Kind = "stored twice"     // a repeated publish was taken for a new message
	Unexplained  Kind = "duplicate"        // sent again with no interruption to explain it
	HeldResent   Kind = "sent under hold"  // sent again although it is to be held
	OutOfOrder   Kind = "out of order"     // sent before its predecessor of the same key was done with
	Overlapping  Kind = "overlap"          // two requests of one key in flight at a time
	NoAudit      Kind = "no audit entry"   // settled without an entry of that settlement
	NoReply      Kind = "no reply"         // the durable reply is missing
	WrongReply   Kind = "wrong reply"      // more than one reply, or one that contradicts the settlement
	WrongDead    Kind = "dead letter"      // one too many, missing, or of another settlement
	UnknownThing Kind = "from nowhere"     // a request, reply or dead letter of a message nobody published
	NeverSent    Kind = "nothing happened" // the run proves nothing: no message, no request
)

// Violation is one breach of one guarantee.
type Violation struct {
	Kind Kind
	ID   string // of the message
	What string
}

// String is one line.
func (v Violation) String() string { return fmt.Sprintf("%s: %s: %s", v.Kind, v.ID, v.What) }

// Slack says how far an interruption may be from a request that it explains. Both are
// measured by the clock of the process that records.
type Slack struct {
	// Before a request started. The request of a worker that was stopped arrives a
	// little after that; a NATS server that is killed forgets what it has not yet
	// written down, deliveries of the last tenth of a second. Default 300ms.
	Before time.Duration
	// After a request ended and until its message was surely acknowledged. On a machine that
	// is busy a settlement takes its time. Default 1s.
	After time.Duration
}

func (s Slack) withDefaults() Slack {
	s.Before = cmp.Or(s.Before, 300*time.Millisecond)
	s.After = cmp.Or(s.After, time.Second)
	return s
}

// Check holds a record against the guarantees and returns every violation. It is pure.
func Check(r Record, slack Slack) []Violation {
	c := newChecker(r, slack.withDefaults())
	if len(r.Published) == 0 || len(r.Requests) == 0 {
		c.found(NeverSent, "-", "%d messages, %d requests", len(r.Published), len(r.Requests))
	}
	if r.Queued > 0 {
		c.found(Left, "-", "%d messages", r.Queued)
	}
	if known := uint64(len(c.messages)); r.Stored > known {
		c.found(StoredTwice, "-", "the queue took %d messages under %d ids", r.Stored, known)
	}
	for _, m := range r.Published {
		c.fate(m)
		c.repeats(m)
		c.reply(m)
		c.audit(m)
	}
	c.order()
	c.overlaps()
	c.strangers()
	return c.violations
}

// checker is a record, indexed.
type checker struct {
	record     Record
	slack      Slack
	messages   map[string]Published
	requests   map[string][]Request // by message, by Begin
	dead       map[string][]Dead
	replies    map[string][]Reply
	violations []Violation
}

func newChecker(r Record, slack Slack) *checker {
	c := &checker{record: r, slack: slack, messages: map[string]Published{}, requests: map[string][]Request{},
		dead: map[string][]Dead{}, replies: map[string][]Reply{}}
	for _, m := range r.Published {
		c.messages[m.ID] = m
	}
	c.record.Requests = slices.SortedFunc(slices.Values(r.Requests), func(a, b Request) int { return cmp.Compare(a.Begin, b.Begin) })
	for _, q := range c.record.Requests {
		c.requests[q.ID] = append(c.requests[q.ID], q)
	}
	for _, d := range r.Dead {
		c.dead[d.MessageID] = append(c.dead[d.MessageID], d)
	}
	for _, p := range r.Replies {
		c.replies[p.MessageID] = append(c.replies[p.MessageID], p)
	}
	return c
}

func (c *checker) found(kind Kind, id, format string, args ...any) {
	c.violations = append(c.violations, Violation{kind, id, fmt.Sprintf(format, args...)})
}

// taken reports that the far side took the message at least once.
func (c *checker) taken(id string) bool {
	return slices.ContainsFunc(c.requests[id], func(q Request) bool { return q.Accepted })
}

// fate: nothing is lost, and nothing dies twice or unasked.
func (c *checker) fate(m Published) {
	dead := c.dead[m.ID]
	switch {
	case len(dead) > 1:
		c.found(WrongDead, m.ID, "%d dead letters", len(dead))
	case len(dead) == 1 && !mayDie(m, dead[0].Settlement):
		c.found(WrongDead, m.ID, "%s: %s; want %q", dead[0].Settlement, dead[0].Error, cmp.Or(m.Dies, outbox.Delivered))
	case len(dead) == 0 && m.Dies != "" && m.Confirmed:
		c.found(WrongDead, m.ID, "none; want %s", m.Dies)
	}
	if m.Confirmed && len(dead) == 0 && !c.taken(m.ID) {
		c.found(Lost, m.ID, "%d requests, none taken", len(c.requests[m.ID]))
	}
}

// mayDie: under hold an interruption may leave any message to a person.
func mayDie(m Published, s outbox.Settlement) bool {
	return s == m.Dies || m.Hold && s == outbox.Held
}

// repeats: a message is sent again only after an answer that says so, or when something
// explains that the answer was not known or not noted. Under hold, nothing does.
func (c *checker) repeats(m Published) {
	list := c.requests[m.ID]
	for i := 1; i < len(list); i++ {
		before, again := list[i-1], list[i]
		if before.refused() {
			continue
		}
		if m.Hold {
			c.found(HeldResent, m.ID, "%s and then %s", describe(before), describe(again))
			continue
		}
		if !before.Broken && !c.explained(before, again) && !c.late(again) {
			c.found(Unexplained, m.ID, "%s and then %s", describe(before), describe(again))
		}
	}
}

// explained reports whether the worker of a request, or a NATS server, was interrupted
// while the request was in flight or its settlement under way.
func (c *checker) explained(q, again Request) bool {
	until := again.Start
	if !q.End.IsZero() && q.End.Add(c.slack.After).Before(until) {
		until = q.End.Add(c.slack.After)
	}
	from := q.Start.Add(-c.slack.Before)
	return slices.ContainsFunc(c.record.Interruptions, func(i Interruption) bool {
		mine := i.NATS || i.Target == q.Worker
		return mine && i.From.Before(until) && (i.To.IsZero() || i.To.After(from))
	})
}

// late reports whether a worker was stopped between the moment it began to send a request
// and the arrival: it could not know that others had taken the message over.
func (c *checker) late(q Request) bool {
	return !q.Left.IsZero() && slices.ContainsFunc(c.record.Interruptions, func(i Interruption) bool {
		const before, after = 20 * time.Millisecond, 200 * time.Millisecond // the clocks are one; signals and arrivals take their time
		return i.Fault == Stop && i.Target == q.Worker && q.Left.Before(i.From.Add(before)) && q.Start.After(i.To.Add(-before)) && q.Start.Before(i.To.Add(after))
	})
}

// reply: exactly one durable reply, which agrees with the settlement. Under hold a worker may
// die after it has told the caller that the message was taken: what is left then is to be
// held, and the caller knows better.
func (c *checker) reply(m Published) {
	list := c.replies[m.ID]
	if m.ReplyTo == "" || !m.Confirmed {
		return
	}
	if len(list) == 0 {
		c.found(NoReply, m.ID, "on %s", m.ReplyTo)
		return
	}
	want := outbox.Delivered
	if dead := c.dead[m.ID]; len(dead) > 0 {
		want = dead[0].Settlement
	}
	for _, p := range list {
		told := m.Hold && p.Settlement == outbox.Delivered && c.taken(m.ID)
		if p.Settlement != want && !told || p.Subject != m.ReplyTo {
			c.found(WrongReply, m.ID, "%s on %s; want %s on %s", p.Settlement, p.Subject, want, m.ReplyTo)
		}
	}
	if len(list) > 1 {
		c.found(WrongReply, m.ID, "%d replies", len(list))
	}
}

// audit: no message is gone without an entry of its settlement.
func (c *checker) audit(m Published) {
	want := outbox.Delivered
	if dead := c.dead[m.ID]; len(dead) > 0 {
		want = dead[0].Settlement
	}
	there := slices.ContainsFunc(c.record.Audit, func(a Audit) bool { return a.MessageID == m.ID && a.Settlement == want })
	if m.Confirmed && !there {
		c.found(NoAudit, m.ID, "want %s", want)
	}
}

// order: the requests of a key never go back to an earlier message, and a message is sent
// only when its predecessor was taken or is dead.
func (c *checker) order() {
	place := map[string]int{}
	byKey := map[string][]string{}
	for _, m := range c.record.Published {
		if _, seen := place[m.ID]; m.Key != "" && !seen {
			place[m.ID] = len(byKey[m.Key])
			byKey[m.Key] = append(byKey[m.Key], m.ID)
		}
	}
	last := map[string]Request{} // of a key, the furthest
	taken := map[string]bool{}
	for _, q := range c.record.Requests {
		key := c.messages[q.ID].Key
		if key == "" || c.late(q) {
			continue
		}
		if furthest, ok := last[key]; !ok || place[q.ID] >= place[furthest.ID] {
			last[key] = q
		} else {
			c.found(OutOfOrder, q.ID, "%s after %s of %s", describe(q), describe(furthest), furthest.ID)
		}
		if n := place[q.ID]; n > 0 {
			if before := byKey[key][n-1]; c.messages[before].Confirmed && !taken[before] && !c.deadBy(before, q.Start) {
				c.found(OutOfOrder, q.ID, "%s before %s was taken or dead", describe(q), before)
			}
		}
		taken[q.ID] = taken[q.ID] || q.Accepted
	}
}

// deadBy reports whether a message had been given up at a time.
func (c *checker) deadBy(id string, when time.Time) bool {
	return slices.ContainsFunc(c.dead[id], func(d Dead) bool { return !d.At.After(when) })
}

// overlaps: one request of a key at a time. Only one message's own requests may overlap,
// when something explains that the first was given up while it was on its way.
func (c *checker) overlaps() {
	open := map[string][]Request{}
	for _, q := range c.record.Requests {
		key := c.messages[q.ID].Key
		if key == "" || c.late(q) {
			continue
		}
		running := slices.DeleteFunc(open[key], func(o Request) bool { return o.Finish != 0 && o.Finish < q.Begin })
		for _, o := range running {
			if o.ID != q.ID || !c.explained(o, q) {
				c.found(Overlapping, q.ID, "%s while %s of %s was in flight", describe(q), describe(o), o.ID)
			}
		}
		open[key] = append(running, q)
	}
}

// strangers: everything seen belongs to something published.
func (c *checker) strangers() {
	for id, list := range c.requests {
		if _, known := c.messages[id]; !known {
			c.found(UnknownThing, id, "%s", describe(list[0]))
		}
	}
	for id, list := range c.dead {
		if _, known := c.messages[id]; !known {
			c.found(UnknownThing, id, "a dead letter: %s: %s", list[0].Settlement, list[0].Error)
		}
	}
	for id := range c.replies {
		if m, known := c.messages[id]; !known || m.ReplyTo == "" {
			c.found(UnknownThing, id, "a reply")
		}
	}
}

const clock = "15:04:05.000"

func describe(q Request) string {
	end, outcome := "open", fmt.Sprint(q.Status)
	if !q.End.IsZero() {
		end = q.End.Format(clock)
	}
	if q.Accepted {
		outcome += " taken"
	}
	return fmt.Sprintf("%s %s–%s (%s)", q.Worker, q.Start.Format(clock), end, outcome)
}
