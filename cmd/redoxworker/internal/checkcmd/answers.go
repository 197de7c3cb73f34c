package checkcmd

import (
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/config"
)

// answerPlan is what becomes of a message whose attempt met something.
type answerPlan struct {
	Answer string `json:"answer"`
	// Counts says whether the attempt counts, and with it the time that it took.
	Counts bool `json:"counts"`
	// Then is what is done.
	Then string `json:"then"`
}

func (p answerPlan) counts() string {
	if p.Counts {
		return "yes"
	}
	return "no"
}

// pauses are the first and the longest pause of a scope, as package worker has them.
type pauses struct{ first, longest time.Duration }

// pausesOf the scopes by the names of worker/DESIGN.md.
var (
	pausesOfKey    = pauses{2 * time.Second, time.Minute}
	pausesOfHost   = pauses{time.Second, 4 * time.Second}
	pausesOfGroup  = pauses{15 * time.Second, 5 * time.Minute}
	pausesOfNarrow = pauses{time.Second, 30 * time.Second}
)

func (p pauses) String() string { return span(p.first) + " to " + span(p.longest) }

// answersOf is the table of what a worker does about each class of answers, with the figures of
// the configuration.
func answersOf(c *config.Config, source string) []answerPlan {
	r := c.Worker.Retry
	unknown := "on_unknown of its source decides: resend tries again, hold settles it held"
	if s, ok := c.Sources[source]; ok {
		switch {
		case s.OnUnknown == config.OnUnknownHold:
			unknown = "a SEND is settled held"
		case len(s.Hold) > 0:
			unknown = "a SEND is tried again, or settled held where sources." + source + ".hold names it"
		default:
			unknown = "tried again, and may arrive twice"
		}
	}
	failures := "tried again, and given up as above"
	if n := c.Worker.BreakerAfter; n > 0 {
		failures += fmt.Sprintf("; after %d failures in a row of more than one message their destination, source or host pauses (%v), and what probes it does not count", n, pausesOfNarrow)
	}
	return []answerPlan{
		{"2xx", true, "delivered; rejected where it holds errors and the message is a SEND"},
		{"401", false, fmt.Sprintf("a new token and once more; then the key, or the source where the key works for others, pauses (%v, doubling), and the message waits", pausesOfKey)},
		{"429", false, fmt.Sprintf("the egress group pauses for all (Retry-After up to %s, else %v, doubling), and the message waits", span(r.Max), pausesOfGroup)},
		{"408, 421, 425, 500, 502, 503, 5xx", true, failures},
		{"504, 520, 524, 598, 599, no answer", true, unknown + "; a REQUEST is tried until its deadline"},
		{"no connection, TLS, proxy", false, fmt.Sprintf("the host pauses (%v, doubling), and the message waits", pausesOfHost)},
		{"no token", false, fmt.Sprintf("the key pauses (%v, doubling), and its sources wait", pausesOfKey)},
		{"other 3xx and 4xx, 501, 505", true, "rejected at once" + refusedText(c.Worker.BreakerAfter)},
		{"its deadline passes", true, "expired, whatever it waits for"},
	}
}

func refusedText(after int) string {
	if after == 0 {
		return ""
	}
	return fmt.Sprintf("; the same 403 %d times in a row pauses the source (%v), and messages are tried again", after, pausesOfKey)
}
