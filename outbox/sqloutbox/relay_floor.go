package sqloutbox

import (
	"context"
	"strconv"
	"time"
)

// The floor of a lane spares the relay what is dead: rows that are deleted, and that the database
// cannot clean up while an old transaction is open. It must never pass the row of a transaction
// that is still open: once committed, that row would wait for the next sweep, and a later row of
// its order key would go first.

// raiseEvery is how often it is tried to raise the floor of a lane.
const raiseEvery = 100 * time.Millisecond

// quiet reports whether no transaction is open that may commit an ordered row of the lane. All
// that had drawn a number before are then to be seen by whoever reads after this.
func (r *Relay) quiet(ctx context.Context, l *lane) (quiet bool, err error) {
	switch r.box.dialect {
	case SQLite:
		return true, nil // rows are committed in their order
	case Postgres:
		err = r.db.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))",
			r.box.laneKey(strconv.FormatInt(int64(l.number), hexLanes))).Scan(&quiet)
		return quiet, err
	}
	rows, err := r.db.QueryContext(ctx, r.box.sql("SELECT n FROM redox_outbox_stripe WHERE n BETWEEN ? AND ? FOR UPDATE SKIP LOCKED"),
		l.number*laneStripes, (l.number+1)*laneStripes-1)
	if err != nil {
		return false, err
	}
	defer func() { _ = rows.Close() }()
	n := 0
	for rows.Next() {
		n++
	}
	return n == laneStripes, rows.Err()
}

// raisable answers up to where the floor of a lane may be raised by what is read after this.
func (r *Relay) raisable(ctx context.Context, l *lane) (int64, error) {
	r.mu.Lock()
	high, floor := l.high, l.floor
	r.mu.Unlock()
	if high <= floor || time.Since(l.raised) < raiseEvery {
		return 0, nil
	}
	l.raised = time.Now()
	if quiet, err := r.quiet(ctx, l); err != nil || !quiet {
		return 0, err
	}
	return high, nil
}

// moveFloor raises the floor of a lane up to the first row that is left.
func (r *Relay) moveFloor(b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := b.last + 1
	if !b.full {
		first = max(first, b.high)
	}
	for _, i := range b.items {
		b.high = max(b.high, i.seq+1)
		if i.outcome != stored && i.outcome != failed {
			first = min(first, i.seq)
		}
	}
	b.floor = min(max(b.floor, b.raise), first, b.lowered)
	b.tries, b.lane.note = b.noted.tries, b.note
}
