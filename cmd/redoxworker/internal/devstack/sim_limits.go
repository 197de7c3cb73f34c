package devstack

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// simLimits are the flags of sim and dev about what the simulated Redox allows and how fast it is.
type simLimits struct {
	Quota        SimQuota      `placeholder:"N[/DURATION]" help:"Requests per rolling window and client, tokens among them, such as 7500/5m. No limit by default."`
	Per          time.Duration `placeholder:"DURATION" help:"Window of --quota. Default: 5m."`
	RetryAfter   bool          `name:"retry-after" help:"Send Retry-After with a 429 of --quota, as Redox does not."`
	ClientHeader string        `name:"client-header" placeholder:"NAME" help:"Header that names the client for --quota. Default: its address."`
	Latency      time.Duration `placeholder:"DURATION" help:"Delay of each answer but those to token requests."`
	Strict       bool          `default:"true" negatable:"" help:"Be as strict as Redox's documents; --no-strict also takes what its FHIR sandbox was recorded to take."`
	Matches      int           `default:"1" placeholder:"N" help:"How many resources a FHIR search finds, in pages of 10 or of what _count says."`
	Export       simExport     `embed:"" prefix:"export-"`
}

// simExport are the flags about bulk exports.
type simExport struct {
	Resources int           `placeholder:"N" help:"How many resources of each type a bulk export has. Default: --matches."`
	Lines     int           `placeholder:"N" help:"How many of them a file has. Default: all."`
	Bytes     int           `placeholder:"N" help:"Least length of each in bytes. Default: as it comes."`
	Takes     time.Duration `placeholder:"DURATION" help:"How long an export takes. Default: two questions."`
	Issues    int           `placeholder:"N" help:"How many resources cannot be exported."`
}

// check names what no export can have.
func (e simExport) check() error {
	for _, f := range []struct {
		name  string
		value int64
	}{{"resources", int64(e.Resources)}, {"lines", int64(e.Lines)}, {"bytes", int64(e.Bytes)}, {"takes", int64(e.Takes)}, {"issues", int64(e.Issues)}} {
		if f.value < 0 {
			return cli.Usagef("--export-%s: it is negative", f.name)
		}
	}
	return nil
}

func (e simExport) export() redoxsim.Export {
	return redoxsim.Export{Resources: e.Resources, FileLines: e.Lines, LineBytes: e.Bytes, Takes: e.Takes, Issues: e.Issues}
}

// server is a simulator with these limits.
func (l simLimits) server() (*redoxsim.Server, error) {
	quota := redoxsim.Quota(l.Quota)
	switch {
	case l.Per != 0 && quota.Limit == 0:
		return nil, cli.Usagef("--per: give the number of requests too, with --quota")
	case l.Per < 0:
		return nil, cli.Usagef("--per: %s is no window; give a duration such as 5s", l.Per)
	case l.Per != 0 && quota.Per != 0:
		return nil, cli.Usagef("--per: --quota has a window already; leave one of them out")
	case l.RetryAfter && quota.Limit == 0:
		return nil, cli.Usagef("--retry-after: it belongs to --quota; give that too")
	case l.Matches < 0:
		return nil, cli.Usagef("--matches: %d is negative", l.Matches)
	case l.Latency < 0:
		return nil, cli.Usagef("--latency: %s is negative", l.Latency)
	case l.Per != 0:
		quota.Per = l.Per
	}
	if err := l.Export.check(); err != nil {
		return nil, err
	}
	quota.RetryAfter = l.RetryAfter
	redox := &redoxsim.Server{Quota: quota, Latency: l.Latency, Lax: !l.Strict, Matches: l.Matches, Export: l.Export.export()}
	if name := l.ClientHeader; name != "" {
		redox.ClientIP = func(r *http.Request) string { return r.Header.Get(name) }
	}
	return redox, nil
}

// SimQuota is a limit as a flag: requests, or requests/duration. Its window is 0 when none is given.
type SimQuota redoxsim.Quota

// UnmarshalText reads N or N/DURATION.
func (q *SimQuota) UnmarshalText(text []byte) error {
	count, window, hasWindow := strings.Cut(string(text), "/")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not N/DURATION, such as 7500/5m", text)
	}
	var per time.Duration
	if hasWindow {
		if per, err = time.ParseDuration(window); err != nil || per <= 0 {
			return fmt.Errorf("%q is not N/DURATION, such as 7500/5m", text)
		}
	}
	*q = SimQuota{Limit: n, Per: per}
	return nil
}

// profileHelp lists the profiles, a line for each.
func profileHelp() string {
	var b strings.Builder
	b.WriteString("Profiles:\n")
	for _, name := range redoxsim.Profiles() {
		fmt.Fprintf(&b, "  %-20s %s\n", name, redoxsim.AboutProfile(name))
	}
	return b.String()
}
