package sqloutbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

var (
	errSlow     = errors.New("sqloutbox: no confirmation while those of others came")
	errLarge    = errors.New("sqloutbox: the message is large; it is published beside others")
	errUnheard  = errors.New("sqloutbox: no confirmation, and NATS refuses something that this user publishes: allow it to publish for the source")
	errTime     = errors.New("sqloutbox: NATS confirmed nothing in time")
	errStopping = errors.New("sqloutbox: the relay stops")
)

// watch ends a batch early: when NATS is away, when only slow or large rows are left, when all that
// are under way may have been refused, when the relay stops.
type watch struct {
	conn   *nats.Conn
	before error // the last error of the connection when the batch began

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

// slow is why those under way are not waited for any longer; nil while they are.
func (w *watch) slow() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	patience, large := grace, 0
	for i := range w.under {
		if i.large() {
			large++
			patience = min(patience+time.Duration(i.bytes>>20)*mebibyte, mostPatience)
		}
	}
	switch waited := time.Since(w.last); {
	case len(w.under) == 0 || waited <= patience:
		return nil
	case w.any:
		return errSlow
	case large == len(w.under):
		return errLarge
	case waited > patience+unheardTime && w.refused():
		return errUnheard
	}
	return nil
}

// refused reports whether NATS refused a publish of this connection, perhaps another's, since the
// batch began. It says so of the last one only.
func (w *watch) refused() bool {
	return jsapi.Violates(w.conn, "Publish to ") && w.conn.LastError() != w.before
}

// run watches until ctx ends.
func (w *watch) run(ctx, stopping context.Context, most time.Duration, cancel context.CancelCauseFunc) {
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
		slow := w.slow()
		switch {
		case !w.conn.IsConnected():
			cancel(fmt.Errorf("sqloutbox: %w", errNATSAway))
		case slow != nil:
			cancel(slow)
		case time.Since(began) > most:
			cancel(errTime)
		case !stopped.IsZero() && time.Since(stopped) > publishTimeLease:
			cancel(errStopping)
		}
	}
}
