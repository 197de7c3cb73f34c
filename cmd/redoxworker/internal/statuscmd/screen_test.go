package statuscmd

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/order"
	"github.com/redoxworker/redoxworker/worker/overview"
	"github.com/redoxworker/redoxworker/worker/quota"
)

// fleet is an overview of many sources, some in trouble.
func fleet(sources int) *overview.Overview {
	o := &overview.Overview{
		Prefix: "redox", Taken: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC),
		Queue: &overview.Queue{Messages: uint64(3 * sources), Age: 42 * time.Minute},
		Drain: overview.Drain{Text: "at least 49s: the limit allows no more (1000 messages); 500 messages never while clinic-0001-of-the-university-hospital is paused, and 3 more"},
		Dead: &overview.Dead{Messages: 17, Newest: time.Date(2026, 11, 30, 11, 0, 0, 0, time.UTC), Settlements: map[outbox.Settlement]uint64{outbox.Rejected: 14, outbox.Held: 3},
			Sample: 15, Reasons: []overview.DeadReason{{Settlement: outbox.Rejected, Reason: "rejected: status 400: redox refused the message because something in it is wrong", Messages: 14}}},
		Quotas:  []overview.Quota{{Group: "default", Usage: quota.Usage{Requests: 7500, Per: 5 * time.Minute, Used: 7400, Left: 100, Workers: 2, Pace: 4.96}}},
		Workers: []overview.Worker{{ID: "w-1", Status: worker.Status{InFlight: 12, Concurrency: 64}}, {ID: "w-2"}},
	}
	for i := range sources {
		b := overview.Backlog{Source: fmt.Sprintf("clinic-%04d-of-the-university-hospital", i), Lane: contract.LaneSend, Messages: 3, Age: time.Minute, Why: overview.Why{State: overview.Moving}}
		if i < sources/10 {
			b.Why = overview.Why{State: overview.Paused, Text: "paused until somebody resumes it, by ann@ops.example.org: the hospital has asked for it"}
			o.Needs = append(o.Needs, overview.Need{Person: true, Text: b.Source + " is paused, 3 messages waiting, " + strings.TrimPrefix(b.Why.Text, "paused "), Mend: "redoxworker resume --source " + b.Source})
		}
		o.Backlogs = append(o.Backlogs, b)
	}
	return o
}

// On 80 columns a fleet of 500 sources is a screen: what needs a person first, the rest summed up,
// and no line that the terminal would wrap.
func TestScreen_FitsWithManySources(t *testing.T) {
	t.Parallel()
	for _, width := range []int{60, 80, 140} {
		for _, sources := range []int{0, 1, 500, 5000} {
			s := &screen{width: width, colour: true}
			s.draw(fleet(sources))
			for _, line := range s.lines {
				if n := text.StringWidthWithoutEscSequences(line); n > width {
					t.Errorf("%d sources: %d columns of %d: %s", sources, n, width, line)
				}
			}
			if most := map[bool]int{true: 80, false: 60}[width < 80]; len(s.lines) > most {
				t.Errorf("%d sources on %d columns: %d lines", sources, width, len(s.lines))
			}
			drawn := strings.Join(strings.Fields(strings.Join(s.lines, " ")), " ")
			if sources == 500 && (!strings.Contains(drawn, "50 things to see to") || !strings.Contains(drawn, "and 42 more: --all shows them") || !strings.Contains(drawn, "; of the newest 15 mostly “rejected: status 400") ||
				!strings.Contains(drawn, "and 485 sources more with 1455 messages, oldest 60s, 40 of them blocked (--all)")) {
				t.Errorf("%s", drawn)
			}
			if sources == 0 && strings.Contains(drawn, "and 0 more") {
				t.Errorf("%s", drawn)
			}
		}
	}
}

// On a terminal that is drawn again and again nothing scrolls away.
func TestScreen_FitsTheHeight(t *testing.T) {
	t.Parallel()
	for _, height := range []int{10, 24, 50} {
		s := &screen{width: 80, height: height, home: true}
		s.draw(fleet(500))
		if n := strings.Count(string(s.text()), "\n"); n >= height {
			t.Errorf("%d lines of %d", n, height)
		}
	}
}

// Everything is there when it is asked for, and when nobody looks.
func TestScreen_All(t *testing.T) {
	t.Parallel()
	s := &screen{all: true}
	s.draw(fleet(500))
	drawn := strings.Join(s.lines, "\n")
	if n := strings.Count(drawn, "\nclinic-"); n != 500 || strings.Contains(drawn, "--all") {
		t.Errorf("%d sources\n%s", n, drawn)
	}
}

func TestScreen_Quota(t *testing.T) {
	t.Parallel()
	for pace, want := range map[float64]string{0: "", 25: "; SENDs paced at 25/s", 4.96: "; SENDs paced at 4.96/s"} {
		q := overview.Quota{Group: "default", Usage: quota.Usage{Requests: 7500, Per: 5 * time.Minute, Used: 7300, Held: 100, Left: 100, Workers: 2, Pace: pace}}
		if got := shownQuota(q); got != "default: 7300 of 7500 in 5m used, 100 in the hands of workers, 100 left"+want {
			t.Errorf("at a pace of %v: %s", pace, got)
		}
	}
}

// All is well, in a word.
func TestScreen_Well(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		o    overview.Overview
		want string
	}{
		{overview.Overview{}, "✓ all is well"},
		{overview.Overview{Needs: []overview.Need{{Text: "x"}}}, "~ something to watch"},
		{overview.Overview{Unknown: []string{"pauses: timeout"}}, "~ something to watch"},
		{overview.Overview{Needs: []overview.Need{{Text: "x", Person: true}, {Text: "y"}}}, "! 1 thing to see to"},
	} {
		s := &screen{}
		s.draw(&tt.o)
		if !strings.HasSuffix(s.lines[0], tt.want) {
			t.Errorf("%s, want %s", s.lines[0], tt.want)
		}
	}
}

// What others have named changes nothing on the terminal but the text that stands there.
func TestScreen_TakesNoOrders(t *testing.T) {
	t.Parallel()
	const evil = "\x1b]0;owned\a\u009b2J\x1b[1A\r"
	o := fleet(1)
	o.Needs = append(o.Needs, overview.Need{Text: "worker " + evil + " is not ready", Mend: evil})
	o.Unknown = []string{evil}
	o.Workers = []overview.Worker{{ID: evil, Version: evil}, {Version: "v1"}}
	o.Keys = []overview.Key{{Status: auth.Status{Name: evil}}}
	o.Heads = []overview.Head{{State: order.State{Source: "clinic-a", Messages: 2, Head: order.Head{ID: evil, Error: evil}}, By: evil}}
	o.Dead.Reasons[0].Reason = evil
	o.Pauses = []overview.Pause{{Paused: worker.Paused{Scope: "host:" + evil}}}
	o.Quotas[0].Group = evil
	o.Backlogs[0].Why.Text = evil
	o.Outbox = &overview.Outbox{Trouble: evil}
	s := &screen{width: 80, all: true}
	s.draw(o)
	for _, line := range s.lines {
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q", line)
		}
	}
}

// How old the oldest of the others is is not said where that of one of them is not known.
func TestScreen_AnAgeThatIsNotKnown(t *testing.T) {
	t.Parallel()
	for unknown, want := range map[bool]bool{false: true, true: false} {
		o := fleet(500)
		if unknown {
			o.Backlogs[499].Age = 0
		}
		s := &screen{}
		s.draw(o)
		if drawn := strings.Join(s.lines, "\n"); strings.Contains(drawn, "messages, oldest ") != want || !strings.Contains(drawn, "and 485 sources more") {
			t.Errorf("one is not known: %v:\n%s", unknown, drawn)
		}
	}
}
