package checkcmd

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
)

// status of a finding.
type status string

const (
	statusOK      status = "ok"
	statusWarning status = "warning" // unwise, or soon a fault
	statusFault   status = "fault"
	statusUnknown status = "unknown" // could not be learnt, and why
)

// finding is one thing that a check found.
type finding struct {
	Check  string `json:"check"`
	Status status `json:"status"`
	// Subject is what it is about: a key of the configuration, a stream, a host.
	Subject string `json:"subject,omitempty"`
	Text    string `json:"text"`
	// Mend is what to do about it.
	Mend string `json:"mend,omitempty"`
}

// result is everything that was found, by check.
type result struct {
	OK       bool          `json:"ok"` // no faults
	Faults   int           `json:"faults"`
	Warnings int           `json:"warnings"`
	Unknown  int           `json:"unknown"`
	Took     time.Duration `json:"took_ns"`
	Findings []finding     `json:"findings"`
}

// report collects what checks find. It is safe for concurrent use, its configuration aside, which
// the first check sets.
type report struct {
	config  *config.Config
	partial bool // config lacks keys and sources, which could not be read

	mu       sync.Mutex
	findings []finding
	known    map[finding]bool
	closed   map[string]bool // checks whose time is over
}

func newReport() *report {
	return &report{known: make(map[finding]bool), closed: make(map[string]bool)}
}

// close has nothing of a check heard any longer.
func (r *report) close(check string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed[check] = true
}

// use sets the configuration, unless the time for reading it is over.
func (r *report) use(c *config.Config, partial bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed[checkConfig] {
		r.config, r.partial = c, partial
	}
}

func (r *report) add(f finding) {
	f.Text, f.Subject, f.Mend = cli.OneLine(f.Text), cli.OneLine(f.Subject), cli.OneLine(f.Mend)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed[f.Check] && !r.known[f] {
		r.known[f] = true
		r.findings = append(r.findings, f)
	}
}

func (r *report) ok(check, text string) { r.add(finding{check, statusOK, "", text, ""}) }
func (r *report) warn(check, subject, text, mend string) {
	r.add(finding{check, statusWarning, subject, text, mend})
}

func (r *report) fault(check, subject, text, mend string) {
	r.add(finding{check, statusFault, subject, text, mend})
}

func (r *report) unknown(check, subject, text, mend string) {
	r.add(finding{check, statusUnknown, subject, text, mend})
}

// fine says that all is well, where the check has found nothing else.
func (r *report) fine(check, text string) {
	r.mu.Lock()
	wrong := slices.ContainsFunc(r.findings, func(f finding) bool { return f.Check == check && f.Status != statusOK })
	r.mu.Unlock()
	if !wrong {
		r.ok(check, text)
	}
}

// result of everything, in the order of the checks; faults first in each.
func (r *report) result(took time.Duration) result {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := result{Took: took, Findings: slices.Clone(r.findings)}
	place := func(f finding) int { return slices.Index(order, f.Check) }
	weight := func(f finding) int {
		return slices.Index([]status{statusFault, statusWarning, statusUnknown, statusOK}, f.Status)
	}
	slices.SortStableFunc(out.Findings, func(a, b finding) int {
		if d := place(a) - place(b); d != 0 {
			return d
		}
		if d := weight(a) - weight(b); d != 0 {
			return d
		}
		return strings.Compare(a.Subject, b.Subject)
	})
	for _, f := range out.Findings {
		switch f.Status {
		case statusFault:
			out.Faults++
		case statusWarning:
			out.Warnings++
		case statusUnknown:
			out.Unknown++
		}
	}
	out.OK = out.Faults == 0
	return out
}

// group is findings that are alike: the same is wrong with several things.
type group []finding

var (
	quoted = regexp.MustCompile(`"[^"]*"`)
	entry  = regexp.MustCompile(`\b(keys|sources)\.[a-z0-9-]+`)
	digits = regexp.MustCompile(`[0-9]+`)
)

// ofSettings are checks whose subjects are settings, each another thing.
var ofSettings = []string{checkConfig, checkFiles, checkClock, checkRetry, checkRedox}

// kind is what findings that are alike have in common.
func (f finding) kind() string {
	subject := ""
	switch i := strings.LastIndexByte(f.Subject, '.'); {
	case entry.MatchString(f.Subject):
		subject = f.Subject[i:]
	case slices.Contains(ofSettings, f.Check):
		subject = f.Subject
	}
	text := quoted.ReplaceAllString(entry.ReplaceAllString(f.Text, ""), "")
	return f.Check + "\x00" + string(f.Status) + "\x00" + subject + "\x00" + digits.ReplaceAllString(text, "")
}

// groups of findings, in the order of the first of each.
func groups(findings []finding) []group {
	var all []group
	at := make(map[string]int)
	for _, f := range findings {
		i, there := at[f.kind()]
		if !there {
			i = len(all)
			at[f.kind()] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], f)
	}
	return all
}
