package operate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/audit"
)

// ReplayOptions is what a replay may be told. The zero value works.
type ReplayOptions struct {
	dlq.ReplayOptions
	// Canary is how many are sent first; the others only when all of these were delivered. 0 means
	// none.
	Canary int
	// CanaryWait is how long to wait for them. 0 means 5 min.
	CanaryWait time.Duration
	// OnCanary is called for each of them that is settled, by the goroutine of the loop. nil is nobody.
	OnCanary func(h dlq.Handled, s outbox.Settlement)
	// Reason is why.
	Reason string
}

const (
	defaultCanaryWait = 5 * time.Minute
	// canaryPoll is how often the settlement of a canary is looked for.
	canaryPoll = 200 * time.Millisecond
)

// CanaryError says that the canary of a replay did not come through: the others were left untouched.
type CanaryError struct {
	Sent, Failed, Delivered int
	// Left are those that were not touched.
	Left int
	// Waited is how long in vain; 0 where all were settled.
	Waited time.Duration
}

// Error says what came of the canary and how many are left.
func (e *CanaryError) Error() string {
	left := counted(e.Left, "dead letter") + " left untouched"
	switch {
	case e.Waited > 0:
		return fmt.Sprintf("canary: not settled within %s, %s; does a worker run?", e.Waited, left)
	case e.Failed > 0:
		return fmt.Sprintf("canary: %d of %d failed again, %s; see dlq show", e.Failed, e.Failed+e.Delivered, left)
	}
	return fmt.Sprintf("canary: none of the first %s could be sent, %s", counted(e.Sent, "dead letter"), left)
}

func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}

// Replay sends the dead letters of s again; see [dlq.Store.Replay]. Where the canary fails, a
// [*CanaryError] is the last thing it yields. A dry run leaves no entry and has no canary.
func (d *Desk) Replay(ctx context.Context, s dlq.Selection, o ReplayOptions) iter.Seq2[dlq.Handled, error] {
	if o.DryRun {
		o.Canary = 0
	}
	run := func(yield func(dlq.Handled, error) bool) { d.replay(ctx, s, o, yield) }
	if o.DryRun || s.Len() == 0 {
		return run
	}
	return recorded(ctx, d.record, deed(s, audit.Replay, o.Reason), handled, run, nil)
}

// replay sends the canary, and the others if that comes through.
func (d *Desk) replay(ctx context.Context, s dlq.Selection, o ReplayOptions, yield func(dlq.Handled, error) bool) {
	head, rest := s.Split(o.Canary)
	var sent []dlq.Handled
	for h, err := range d.letters.Replay(ctx, head, o.ReplayOptions) {
		if !yield(h, err) || err != nil {
			return
		}
		sent = append(sent, h)
	}
	if head.Len() > 0 {
		if err := d.awaitCanary(ctx, o, sent, rest.Len()); err != nil {
			yield(dlq.Handled{}, err)
			return
		}
	}
	d.letters.Replay(ctx, rest, o.ReplayOptions)(yield)
}

// awaitCanary waits until the first ones are settled. Its error says that the others are not sent.
func (d *Desk) awaitCanary(ctx context.Context, o ReplayOptions, sent []dlq.Handled, others int) error {
	wait := o.CanaryWait
	if wait == 0 {
		wait = defaultCanaryWait
	}
	late := &CanaryError{Sent: len(sent), Left: others, Waited: wait}
	ctx, cancel := context.WithTimeoutCause(ctx, wait, late)
	defer cancel()
	poll := time.NewTicker(canaryPoll)
	defer poll.Stop()
	came := CanaryError{Sent: len(sent), Left: others}
	for _, h := range sent {
		if h.ReplayID == "" {
			continue
		}
		settlement, err := d.settled(ctx, h, poll)
		if err != nil {
			return err
		}
		if settlement == outbox.Delivered {
			came.Delivered++
		} else {
			came.Failed++
		}
		if o.OnCanary != nil {
			o.OnCanary(h, settlement)
		}
	}
	if came.Failed > 0 || came.Delivered == 0 && others > 0 {
		return &came
	}
	return nil
}

func (d *Desk) settled(ctx context.Context, h dlq.Handled, poll *time.Ticker) (outbox.Settlement, error) {
	for {
		settlement, ok, err := d.letters.Settled(ctx, h)
		if ok {
			return settlement, nil
		}
		if err != nil && ctx.Err() == nil {
			return "", err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
				return "", err
			}
			return "", errors.New("interrupted")
		}
	}
}
