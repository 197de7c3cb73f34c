package cli

import (
	"fmt"
	"net"
	"time"

	"github.com/redoxworker/redoxworker/worker"
)

// Counted is a number with its noun, in the plural unless it is 1.
func Counted[N int | uint64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// Clock is a time as tables show it: UTC, to the second.
func Clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Ago is a duration to as many digits as somebody reads.
func Ago(d time.Duration) string {
	d = max(0, d)
	switch s := d.Round(time.Second); {
	case s < 2*time.Minute:
		return fmt.Sprintf("%ds", int(s.Seconds()))
	case s < 2*time.Hour:
		return fmt.Sprintf("%dm", int(s.Round(time.Minute).Minutes()))
	case s < 48*time.Hour:
		return fmt.Sprintf("%dh", int(s.Round(time.Hour).Hours()))
	default:
		return fmt.Sprintf("%dd", int(s.Hours()/24))
	}
}

// ShownPause says in a line who is paused, how long and why.
func ShownPause(p worker.Paused) string {
	left := "being probed"
	switch {
	case p.Left < 0:
		left = "until resume"
	case p.Left > 0:
		left = "for " + p.Left.Round(time.Second).String()
	}
	if p.Operator {
		line := p.Scope + " " + left + " by " + p.By
		if p.Reason != "" {
			line += ": " + p.Reason
		}
		return line
	}
	if p.Left > 0 {
		left = "next probe in " + p.Left.Round(time.Second).String()
	}
	line := fmt.Sprintf("%s %s after %s", p.Scope, left, Counted(p.Failures, "failure"))
	if !p.Since.IsZero() {
		line += " since " + Clock(p.Since)
	}
	if p.Refused {
		line += ", refused: check its Source ID and key"
	}
	if p.Reason != "" {
		line += ": " + p.Reason
	}
	return line
}

// ShownSlow says in a line which source is slow.
func ShownSlow(s worker.SlowSource) string {
	return fmt.Sprintf("%s: %s being sent, the longest for %v", s.Source, Counted(s.Messages, "message"), s.Longest.Round(time.Second))
}

// Reachable is an address to connect to for one that is listened on.
func Reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}
