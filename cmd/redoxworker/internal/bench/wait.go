package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var errTimeout = errors.New("bench: time is up")

// within waits for done until ctx ends or the time is up.
func within(ctx context.Context, done <-chan struct{}, d time.Duration, what string) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return fmt.Errorf("%w after %v: %s", errTimeout, d, what)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pauseFor waits.
func pauseFor(ctx context.Context, d time.Duration) error {
	if err := within(ctx, nil, d, ""); !errors.Is(err, errTimeout) {
		return err
	}
	return nil
}

// atRate calls publish so many times a second for so long, once at least.
func atRate(ctx context.Context, rate int, d time.Duration, publish func() error) error {
	ticker := time.NewTicker(time.Second / time.Duration(rate))
	defer ticker.Stop()
	for range timesAtRate(rate, d) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := publish(); err != nil {
			return err
		}
	}
	return nil
}

func timesAtRate(rate int, d time.Duration) int { return max(1, int(float64(rate)*d.Seconds())) }

// eventually tries until there is no error, or answers the last one.
func eventually(ctx context.Context, patience time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}
