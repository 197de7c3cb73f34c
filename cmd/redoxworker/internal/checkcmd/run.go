package checkcmd

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// runner runs checks side by side and leaves alone those that come to no end.
type runner struct {
	report  *report
	timeout time.Duration
	running sync.WaitGroup
}

// grace is how long a check may go on after its time: what hears of it ends at once, and what
// hangs in the system, as on a file system that is gone, never does.
const grace = time.Second

// check begins one. A check that is over its time is a fault of its own; what it finds
// later is not heard. One that panics is a fault, too.
func (r *runner) check(ctx context.Context, name string, timeout time.Duration, f func(context.Context)) {
	r.running.Go(func() {
		ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() {
				if p := recover(); p != nil {
					r.report.fault(name, "", fmt.Sprintf("the check itself failed: %T", p), "report it to the maintainers")
				}
			}()
			f(ctx)
		}()
		patience := time.NewTimer(timeout + grace)
		defer patience.Stop()
		select {
		case <-done:
		case <-patience.C:
			r.report.fault(name, "", fmt.Sprintf("no end after %v", timeout), "look why it hangs, or give it longer with --timeout")
			r.report.close(name)
		}
	})
}

// wait for all that were begun.
func (r *runner) wait() { r.running.Wait() }
