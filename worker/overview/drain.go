package overview

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// rateKnown is over how long nothing must have been settled before that is a rate.
const rateKnown = 5 * time.Second

// forecast says when the queue will be empty. It never promises what nothing bears out.
func (x *gathering) forecast() Drain {
	q := x.view.Queue
	if q == nil {
		return Drain{Text: "not known: the queue could not be looked at"}
	}
	d := Drain{Blocked: q.Astray}
	var reasons []string
	if q.Astray > 0 {
		reasons = append(reasons, "no worker reads "+counted(q.Astray, "message")+" astray")
	}
	unknown, told := false, map[string]bool{}
	for _, b := range x.view.Backlogs {
		if !b.Why.Blocked() {
			d.Messages += b.Messages
			unknown = unknown || b.Why.State == Unknown
			continue
		}
		d.Blocked += b.Messages
		if text := standstill(b); !told[text] {
			told[text], reasons = true, append(reasons, text)
		}
	}
	d.AtLeast = x.atLeast(d.Messages)
	if q.Out != nil && *q.Out > 0 && d.Messages > 0 {
		about := time.Duration(float64(d.Messages) / *q.Out * float64(time.Second)).Round(time.Second)
		d.About = &about
	}
	d.Text = d.text(x.stuck(), unknown, reasons)
	if held := x.heldBack(); held != "" && d.Messages > 0 {
		d.Text += "; not what goes to " + held + " while that is paused"
	}
	return d
}

// heldBack is a destination that operators have paused and messages wait for, and how many more; "" for none.
func (x *gathering) heldBack() string {
	names := map[string]bool{}
	for _, p := range x.view.Pauses {
		if _, destination, _ := p.Target(); destination != "" && len(x.waits[p.Scope]) > 0 {
			names[destination] = true
		}
	}
	return named(slices.Sorted(maps.Keys(names)))
}

// stuck reports whether nothing was settled for a while.
func (x *gathering) stuck() bool {
	x.Gatherer.mu.Lock()
	defer x.Gatherer.mu.Unlock()
	first := len(x.samples) > 0 && x.now.Sub(x.samples[0].at) >= rateKnown
	return first && x.view.Queue.Out != nil && *x.view.Queue.Out == 0
}

// standstill is what must change before anything of a backlog is sent.
func standstill(b Backlog) string {
	switch {
	case b.Why.Scope == "all":
		return "all is paused"
	case b.Why.State == Paused:
		return b.Source + " is paused"
	case b.Why.State == Refused:
		return b.Source + " is refused"
	case b.Why.State == Unserved && strings.Contains(b.Why.Text, "runs"):
		return "no worker runs"
	case b.Why.State == Unserved:
		return "no worker serves " + b.Source
	case b.Why.State == NoToken:
		return b.Why.Scope + " does not work"
	}
	return b.Why.Scope + " does not work"
}

// atLeast is the time before which the limits do not let so many requests go.
func (x *gathering) atLeast(messages uint64) *time.Duration {
	if len(x.view.Quotas) == 0 {
		return nil
	}
	var left, rate float64
	for _, q := range x.view.Quotas {
		if q.Per <= 0 || q.Requests <= 0 {
			return nil
		}
		left += float64(q.Left)
		rate += float64(q.Requests) / q.Per.Seconds()
	}
	least := time.Duration(max(0, float64(messages)-left) / rate * float64(time.Second)).Round(time.Second)
	return &least
}

func (d Drain) text(stuck, unknown bool, reasons []string) string {
	never := ""
	if len(reasons) > 0 {
		never = "never while " + reasons[0]
		if n := len(reasons) - 1; n > 0 {
			never += fmt.Sprintf(", and %d more", n)
		}
	}
	switch {
	case d.Messages+d.Blocked == 0:
		return "nothing waits"
	case d.Messages == 0:
		return never
	}
	text := "not known"
	switch {
	case unknown:
		text += ": workers could not be asked"
	case stuck:
		text = "never at this rate: nothing was settled of late"
	case d.About != nil:
		text = "about " + rounded(*d.About) + " at the present rate"
		if d.AtLeast != nil && *d.AtLeast > *d.About {
			text = "at least " + rounded(*d.AtLeast) + ": the limit allows no more"
		}
	case d.AtLeast != nil && *d.AtLeast > 0:
		text = "at least " + rounded(*d.AtLeast) + ": the limit allows no more"
	case d.AtLeast != nil:
		text = "not known; the limit lets all go at once"
	}
	if never != "" {
		return fmt.Sprintf("%s (%s); %s %s", text, counted(d.Messages, "message"), counted(d.Blocked, "message"), never)
	}
	return text
}
