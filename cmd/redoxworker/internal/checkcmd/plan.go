package checkcmd

import (
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
)

const (
	// leastTrying is how long a SEND should be tried: longer than a far side takes to restart.
	leastTrying = 15 * time.Minute
	// leastKept is how long a dead letter should be kept: over a weekend.
	leastKept = 72 * time.Hour
	// leastLease is the shortest ack wait that survives a reconnect to NATS.
	leastLease = 5 * time.Second
)

// checkPlan looks whether the times of the configuration go together: retries, deadlines, leases.
func checkPlan(c *config.Config, r *report) {
	w := c.Worker
	longest := walkThrough(retryOf(c), w.Retry.MaxAge, 0, 1)
	switch {
	case longest.ends == outbox.Exhausted && longest.lasts < leastTrying:
		r.warn(checkRetry, "worker.retry.max_attempts", fmt.Sprintf("is %d: a SEND is given up after %s of trying, or sooner", w.Retry.MaxAttempts, span(longest.lasts)), "set it to 0 for no limit, or to more")
	case w.Retry.MaxAge > 0 && w.Retry.MaxAge < leastTrying:
		r.warn(checkRetry, "worker.retry.max_age", fmt.Sprintf("is %s: a SEND is given up after that", span(w.Retry.MaxAge)), "raise it: 24h is the default")
	}
	if w.Retry.RequestMaxAge < c.Redox.Timeout {
		r.warn(checkRetry, "worker.retry.request_max_age", fmt.Sprintf("is %s, and an answer may take redox.timeout (%s): a REQUEST ends before its answer comes", span(w.Retry.RequestMaxAge), span(c.Redox.Timeout)), "raise it above redox.timeout, or lower redox.timeout")
	}
	if c.Gateway.Enabled && c.Gateway.MaxWait < c.Redox.Timeout {
		r.warn(checkRetry, "gateway.max_wait", fmt.Sprintf("is %s, and an answer may take redox.timeout (%s): a caller gives up before it comes", span(c.Gateway.MaxWait), span(c.Redox.Timeout)), "raise it to redox.timeout, or lower redox.timeout")
	}
	switch {
	case w.AckWait < leastLease:
		r.warn(checkRetry, "worker.ack_wait", fmt.Sprintf("is %s: a reconnect to NATS that takes longer has another worker send again what is in flight", span(w.AckWait)), "raise it: 30s is the default")
	case w.AckWait >= w.Retry.RequestMaxAge:
		r.warn(checkRetry, "worker.ack_wait", fmt.Sprintf("is %s, and a REQUEST lives for worker.retry.request_max_age (%s): those of a worker that is killed expire before another has them", span(w.AckWait), span(w.Retry.RequestMaxAge)), "lower it: 30s is the default")
	}
	if w.BreakerAfter == 0 {
		r.warn(checkRetry, "worker.breaker_after", "is 0: nothing that fails is ever paused, and an outage uses up the attempts of every message", "set it to 5, the default")
	}
	if c.DLQ.MaxAge > 0 && c.DLQ.MaxAge < leastKept {
		r.warn(checkRetry, "dlq.max_age", fmt.Sprintf("is %s: dead letters are deleted before a weekend is over", span(c.DLQ.MaxAge)), "raise it, or set it to 0s to keep them until somebody deletes them")
	}
	until := "for ever"
	if longest.ends != "" {
		until = fmt.Sprintf("%d times or more", longest.attempts)
		if longest.ends == outbox.Expired {
			until = "for " + span(w.Retry.MaxAge) + ", " + until
		}
	}
	r.fine(checkRetry, fmt.Sprintf("a SEND that fails is tried %s; see redoxworker retry-plan", until))
}
