package sqloutbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

var (
	errSlow     = errors.New("sqloutbox: no confirmation while those of others came")
	errTime     = errors.New("sqloutbox: NATS confirmed nothing in time")
	errStopping = errors.New("sqloutbox: the relay stops")
)

// watch ends a batch early: when NATS is away, when only slow rows are left, when the relay stops.
type watch struct {
	mu    sync.Mutex
	last  time.Time // of the last confirmation
	any   bool
	under map[*item]bool // under way
}

func (w *watch) begin(i *item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.under[i] = true
}

func (w *watch) end(i *item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.under, i)
	if i.outcome == stored {
		w.last, w.any = time.Now(), true
	}
}

// none reports whether nothing got through.
func (w *watch) none() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.any
}

// slow reports whether those under way are slower than others were.
func (w *watch) slow() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	patience := grace
	for i := range w.under {
		patience += time.Duration(i.bytes>>20) * mebibyte
	}
	return w.any && len(w.under) > 0 && time.Since(w.last) > patience
}

// run watches until ctx ends.
func (w *watch) run(ctx, stopping context.Context, most time.Duration, cancel context.CancelCauseFunc, connected func() bool) {
	began, stopped := time.Now(), time.Time{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if stopped.IsZero() && stopping.Err() != nil {
			stopped = time.Now()
		}
		switch {
		case !connected():
			cancel(fmt.Errorf("sqloutbox: %w", errNATSAway))
		case w.slow():
			cancel(errSlow)
		case time.Since(began) > most:
			cancel(errTime)
		case !stopped.IsZero() && time.Since(stopped) > publishTimeLease:
			cancel(errStopping)
		}
	}
}
