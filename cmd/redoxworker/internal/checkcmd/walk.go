package checkcmd

import (
	"time"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// walk is how long a message is tried all of whose attempts fail.
type walk struct {
	// begins are when the first attempts begin, from the first one on: until the longest wait is
	// reached, and a few.
	begins []time.Duration
	// waits are the longest before each, and drawn says whether they are drawn.
	waits []time.Duration
	drawn []bool
	// attempts in all, and when the last of them ended. Both are 0 where it never ends.
	attempts int
	lasts    time.Duration
	ends     outbox.Settlement // "" where it never ends
}

// mostBegins is how many attempts a walk remembers.
const mostBegins = 64

// retryOf is the retry of a worker of the configuration.
func retryOf(c *config.Config) worker.Retry {
	r := c.Worker.Retry
	return worker.Retry{Initial: r.Initial, Max: r.Max, MaxAge: r.MaxAge, RequestMaxAge: r.RequestMaxAge, MaxAttempts: r.MaxAttempts}
}

// walkThrough follows a message through attempts that take took each, and waits that are a part
// of those that may be drawn: 1 is the longest, 0.5 the average. limit is how long it may be tried,
// 0 for ever.
func walkThrough(r worker.Retry, limit, took time.Duration, part float64) (w walk) {
	var now time.Duration
	wait, drawn := time.Duration(0), false
	for n := 1; ; n++ {
		if len(w.begins) < mostBegins {
			w.begins, w.waits, w.drawn = append(w.begins, now), append(w.waits, wait), append(w.drawn, drawn)
		}
		now += took
		if r.MaxAttempts > 0 && n >= r.MaxAttempts {
			w.attempts, w.lasts, w.ends = n, now, outbox.Exhausted
			return w
		}
		var ok bool
		if wait, drawn, ok = r.Next(n, 0, limit-now, limit > 0); !ok {
			w.attempts, w.lasts, w.ends = n, now, outbox.Expired
			return w
		}
		step := wait
		if drawn {
			step = time.Duration(float64(wait) * part)
		}
		now += step
		if wait < r.Max || !drawn {
			continue
		}
		// From here on every step is the same, until the end is near.
		switch {
		case n < mostBegins/4: // they are to be seen
			continue
		case limit == 0 && r.MaxAttempts == 0:
			return w
		}
		skip := steady(r, limit > 0, limit-now-2*r.Max, took+step, n)
		n, now = n+skip, now+time.Duration(skip)*(took+step)
	}
}

// steady is how many more steps of a length fit into what is left, and into the attempts that are
// left after n.
func steady(r worker.Retry, limited bool, left, step time.Duration, n int) int {
	most := max(r.MaxAttempts-n-2, 0)
	if fit := max(int(left/max(step, 1)), 0); limited && (r.MaxAttempts == 0 || fit < most) {
		most = fit
	}
	return most
}
