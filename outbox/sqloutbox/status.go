package sqloutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// Status is what a table holds and what is wrong with it.
type Status struct {
	// Rows that wait, and the age of the oldest, in seconds. Failed rows are not among them.
	Rows          int64   `json:"rows"`
	OldestSeconds float64 `json:"oldest_seconds"`
	// Lanes that have rows, or that a relay had.
	Lanes []LaneStatus `json:"lanes"`
	// FailedRows counts the failed rows, of which Failed has the first hundred.
	FailedRows int64       `json:"failed_rows"`
	Failed     []FailedRow `json:"failed"`
	// Horizon is what keeps PostgreSQL from cleaning up; nil where nothing does for over a minute.
	Horizon *Horizon `json:"horizon,omitempty"`
	// HorizonPartial says that Horizon is of this user's transactions alone: PostgreSQL shows those
	// of others to who has the role pg_read_all_stats.
	HorizonPartial bool `json:"horizon_partial,omitempty"`
	// DeadTuples and Bytes are those of the table, on PostgreSQL as of its last statistics. Bytes
	// has the indexes, too. Where the database does not say they are 0.
	DeadTuples int64 `json:"dead_tuples"`
	Bytes      int64 `json:"bytes"`
	// Problems are what Check finds, one line each.
	Problems []string `json:"problems"`
}

// LaneStatus is about one lane.
type LaneStatus struct {
	Lane int   `json:"lane"`
	Rows int64 `json:"rows"`
	// Owner is the relay that had the lane last, and AgeSeconds when it published its last batch.
	Owner      string  `json:"owner,omitempty"`
	AgeSeconds float64 `json:"age_seconds,omitempty"`
}

// Horizon is a transaction, a prepared one or a replication slot that keeps dead rows from being
// cleaned up.
type Horizon struct {
	// PID of the server's process, 0 for what has none.
	PID int `json:"pid,omitempty"`
	// Slot is the name of a replication slot.
	Slot string `json:"slot,omitempty"`
	// AgeSeconds is the age of the transaction; 0 of a slot.
	AgeSeconds float64 `json:"age_seconds,omitempty"`
}

// Status reads the state of the table.
func (o *Outbox) Status(ctx context.Context, db *sql.DB) (Status, error) {
	s := Status{Lanes: []LaneStatus{}, Failed: []FailedRow{}, Problems: []string{}}
	if db == nil {
		return s, errors.New("sqloutbox: Status needs a database")
	}
	if err := o.Check(ctx, db); err != nil {
		s.Problems = strings.Split(err.Error(), "\n")
	}
	var err error
	if s.Rows, s.OldestSeconds, err = o.countRows(ctx, db); err != nil {
		return s, fmt.Errorf("sqloutbox: count the rows of %s: %w", o.table, err)
	}
	if err := o.laneStatus(ctx, db, &s); err != nil {
		return s, fmt.Errorf("sqloutbox: look at the lanes of %s: %w", o.table, err)
	}
	if err := db.QueryRowContext(ctx, o.sql("SELECT count(*) FROM redox_outbox_failed")).Scan(&s.FailedRows); err != nil {
		return s, fmt.Errorf("sqloutbox: count the failed rows of %s: %w", o.table, err)
	}
	if s.Failed, err = o.Failed(ctx, db, 100); err != nil {
		return s, err
	}
	return s, o.cost(ctx, db, &s)
}

func (o *Outbox) laneStatus(ctx context.Context, db *sql.DB, s *Status) error {
	rows, err := db.QueryContext(ctx, o.sql("SELECT l.lane, (SELECT count(*) FROM redox_outbox WHERE redox_outbox.lane = l.lane), COALESCE(t.owner, ''), COALESCE("+
		o.dialect.now()+" - t.at, 0e0) FROM redox_outbox_lane l LEFT JOIN redox_outbox_try t ON t.lane = l.lane AND t.source = '' AND t.n = "+
		"(SELECT max(n) FROM redox_outbox_try m WHERE m.lane = l.lane AND m.source = '') ORDER BY l.lane"))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var l LaneStatus
		if err := rows.Scan(&l.Lane, &l.Rows, &l.Owner, &l.AgeSeconds); err != nil {
			return err
		}
		if l.Rows > 0 || l.Owner != "" {
			s.Lanes = append(s.Lanes, l)
		}
	}
	return rows.Err()
}

// cost is what the table costs the database.
func (o *Outbox) cost(ctx context.Context, db *sql.DB, s *Status) error {
	switch o.dialect {
	case SQLite:
		return nil // its size is that of the file
	case MySQL:
		return db.QueryRowContext(ctx, "SELECT COALESCE(sum(data_length + index_length), 0) FROM information_schema.tables WHERE table_schema = database() AND table_name = ?", o.table).Scan(&s.Bytes)
	}
	err := db.QueryRowContext(ctx, "SELECT COALESCE(sum(n_dead_tup), 0), pg_total_relation_size(CAST($1 AS regclass)) FROM pg_stat_user_tables WHERE relid = CAST($1 AS regclass)", o.table).
		Scan(&s.DeadTuples, &s.Bytes)
	if err != nil {
		return fmt.Errorf("sqloutbox: look at the size of %s: %w", o.table, err)
	}
	var all bool
	if err := db.QueryRowContext(ctx, "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')").Scan(&all); err != nil {
		return fmt.Errorf("sqloutbox: look at what may be looked at: %w", err)
	}
	s.HorizonPartial = !all
	var h Horizon
	err = db.QueryRowContext(ctx, `SELECT pid, slot, age FROM (
		SELECT pid, '' AS slot, CAST(extract(epoch FROM clock_timestamp() - xact_start) AS double precision) AS age, age(COALESCE(backend_xmin, backend_xid)) AS behind
		FROM pg_stat_activity WHERE COALESCE(backend_xmin, backend_xid) IS NOT NULL AND xact_start < clock_timestamp() - interval '1 minute'
		UNION ALL
		SELECT 0, slot_name, 0e0, age(xmin) FROM pg_replication_slots WHERE xmin IS NOT NULL AND NOT active) AS held
		ORDER BY behind DESC LIMIT 1`).Scan(&h.PID, &h.Slot, &h.AgeSeconds)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("sqloutbox: look at what holds back the cleaning: %w", err)
	}
	s.Horizon = &h
	return nil
}
