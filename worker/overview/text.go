package overview

import (
	"fmt"
	"time"
)

// counted is a number with its noun, in the plural unless it is 1.
func counted[N int | int64 | uint64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// times is how often something happened.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// rounded is a duration to as many digits as somebody reads.
func rounded(d time.Duration) string {
	d = max(0, d)
	switch s := d.Round(time.Second); {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
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
