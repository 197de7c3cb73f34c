package sqloutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A sweep looks below the floor of a lane, where rows appear of transactions that took longer than
// others. It reads all that is dead there and not cleaned up, which may be a lot: it is done for few
// lanes at a time, and the less often the longer it takes.

const (
	// sweepEvery is how often a lane is swept.
	sweepEvery = 5 * time.Second
	// sweepTime is how long the sweeps of one look at the table take, but for the last of them.
	sweepTime = 20 * time.Millisecond
	// sweepRest is how many times as long as its sweep took a lane is not swept again.
	sweepRest = 200
)

// sweep sweeps the lanes whose time has come, that of the longest ago first.
func (r *Relay) sweep(ctx context.Context) error {
	began := time.Now()
	for _, l := range slices.SortedFunc(maps.Values(r.lanes), func(a, b *lane) int { return a.sweepAt.Compare(b.sweepAt) }) {
		start := time.Now()
		if start.Sub(began) > sweepTime || start.Before(l.sweepAt) {
			return nil
		}
		swept, err := r.sweepLane(ctx, l)
		if err != nil {
			return fmt.Errorf("sqloutbox: look for late rows of lane %d: %w", l.number, err)
		}
		if swept {
			l.sweepAt = time.Now().Add(max(sweepEvery, sweepRest*time.Since(start)))
		}
	}
	return nil
}

// sweepLane notes the first row below the floor of a lane. Where the lane has nothing up to the last
// row that was seen of all lanes, it raises the floor up to that: a lane without rows would never be
// past what is dead of it. It reports whether there was anything to look at.
func (r *Relay) sweepLane(ctx context.Context, l *lane) (swept bool, err error) {
	floor, without := r.view(l)
	high := max(r.highest(), floor)
	if high == 0 {
		return false, nil
	}
	quiet := false
	if high > floor {
		if quiet, err = r.quiet(ctx, l); err != nil {
			return false, err
		}
	}
	but, args := r.but(without)
	var first int64
	err = r.db.QueryRowContext(ctx, r.box.sql("SELECT seq FROM redox_outbox WHERE lane = ? AND seq < ?"+but+" ORDER BY seq LIMIT 1"),
		append([]any{l.number, high}, args...)...).Scan(&first)
	switch none := errors.Is(err, sql.ErrNoRows); {
	case err != nil && !none:
		return false, err
	case none && quiet:
		r.mu.Lock()
		l.floor = min(max(l.floor, high), l.lowered)
		r.mu.Unlock()
	case !none && first < floor:
		l.late = first
	}
	return true, nil
}

// highest is above all rows that this relay has seen.
func (r *Relay) highest() (high int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lanes {
		high = max(high, l.high)
	}
	return high
}
