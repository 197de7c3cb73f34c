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

// A sweep looks below the floor of a shard, where rows appear of transactions that took longer than
// others. It reads all that is dead there and not cleaned up, which may be a lot: it is done for few
// shards at a time, and the less often the longer it takes.

const (
	// sweepEvery is how often a shard is swept.
	sweepEvery = 5 * time.Second
	// sweepTime is how long the sweeps of one look at the table take, but for the last of them.
	sweepTime = 20 * time.Millisecond
	// sweepRest is how many times as long as its sweep took a shard is not swept again.
	sweepRest = 200
)

// sweep sweeps the shards whose time has come, that of the longest ago first.
func (r *Relay) sweep(ctx context.Context) error {
	began := time.Now()
	for _, s := range slices.SortedFunc(maps.Values(r.shards), func(a, b *shard) int { return a.sweepAt.Compare(b.sweepAt) }) {
		start := time.Now()
		if start.Sub(began) > sweepTime || start.Before(s.sweepAt) {
			return nil
		}
		swept, err := r.sweepShard(ctx, s)
		if err != nil {
			return fmt.Errorf("sqloutbox: look for late rows of shard %d: %w", s.number, err)
		}
		if swept {
			s.sweepAt = time.Now().Add(max(sweepEvery, sweepRest*time.Since(start)))
		}
	}
	return nil
}

// sweepShard notes the first row below the floor of a shard. Where the shard has nothing up to the last
// row that was seen of all shards, it raises the floor up to that: a shard without rows would never be
// past what is dead of it. It reports whether there was anything to look at.
func (r *Relay) sweepShard(ctx context.Context, s *shard) (swept bool, err error) {
	floor, without := r.view(s)
	high := max(r.highest(), floor)
	if high == 0 {
		return false, nil
	}
	quiet := false
	if high > floor {
		if quiet, err = r.quiet(ctx, s); err != nil {
			return false, err
		}
	}
	but, args := r.but(without)
	var first int64
	err = r.db.QueryRowContext(ctx, r.box.sql("SELECT seq FROM redox_outbox WHERE shard = ? AND seq < ?"+but+" ORDER BY seq LIMIT 1"),
		append([]any{s.number, high}, args...)...).Scan(&first)
	switch none := errors.Is(err, sql.ErrNoRows); {
	case err != nil && !none:
		return false, err
	case none && quiet:
		r.mu.Lock()
		s.floor = min(max(s.floor, high), s.lowered)
		r.mu.Unlock()
	case !none && first < floor:
		s.late = first
	}
	return true, nil
}

// highest is above all rows that this relay has seen.
func (r *Relay) highest() (high int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.shards {
		high = max(high, s.high)
	}
	return high
}
