package sqloutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"
)

// FailedRow is a row that cannot be published, or that waits for a person. What it holds is not
// read: it may be of a patient.
type FailedRow struct {
	// Seq names the row; an id may be in the table more than once.
	Seq    int64  `json:"seq"`
	ID     string `json:"id"`
	Source string `json:"source"`
	// Ordered says that the message has an order key.
	Ordered bool `json:"ordered"`
	// Failed is why, and FailedAt when it was found.
	Failed   string    `json:"failed"`
	FailedAt time.Time `json:"failed_at"`
	// Bytes of headers and body.
	Bytes int64 `json:"bytes"`
}

var (
	// ErrNoFailedRow is returned when no failed row has an id.
	ErrNoFailedRow = errors.New("sqloutbox: no failed row has this id")
	// ErrSeveralSources is returned when an id alone does not say which failed row is meant.
	ErrSeveralSources = errors.New("sqloutbox: failed rows of several sources have this id: say of which source (--source)")
)

// Failed lists the first failed rows, oldest first; limit is 0 for all.
func (o *Outbox) Failed(ctx context.Context, db *sql.DB, limit int) ([]FailedRow, error) {
	return o.FailedRows(ctx, db, FailedQuery{Limit: limit})
}

// FailedRows lists the failed rows of q, oldest first.
func (o *Outbox) FailedRows(ctx context.Context, db *sql.DB, q FailedQuery) ([]FailedRow, error) {
	if db == nil {
		return nil, errNoDatabase
	}
	where, args := q.where()
	text := fmt.Sprintf("SELECT seq, id, source, token, failed, %s, %s FROM redox_outbox_failed%s ORDER BY seq", o.dialect.seconds("failed_at"), o.dialect.bytes("message"), where)
	if q.Limit > 0 {
		text += fmt.Sprintf(" LIMIT %d", q.Limit)
	}
	rows, err := db.QueryContext(ctx, o.sql(text), args...)
	if err != nil {
		return nil, fmt.Errorf("sqloutbox: list the failed rows of %s: %w", o.table, err)
	}
	defer func() { _ = rows.Close() }()
	all := []FailedRow{}
	for rows.Next() {
		var f FailedRow
		var token string
		var at float64
		if err := rows.Scan(&f.Seq, &f.ID, &f.Source, &token, &f.Failed, &at, &f.Bytes); err != nil {
			return nil, err
		}
		seconds, rest := math.Modf(at)
		f.Ordered, f.FailedAt = token != "", time.Unix(int64(seconds), int64(rest*1e9)).UTC().Truncate(time.Microsecond)
		all = append(all, f)
	}
	return all, rows.Err()
}

// putBack is the statement that copies failed rows to the others, with %s for a list of them. One that was held with [LateHold] says from then
// on that Redox may get its message twice.
func (o *Outbox) putBack() string {
	const columns = "seq, id, source, token, request, created, sealed"
	return "INSERT INTO redox_outbox (" + columns + ", message) SELECT " + columns + ", CASE WHEN failed = '" + lateReason + "' AND " +
		o.dialect.unmarked() + " THEN " + o.dialect.marked() + " ELSE message END FROM redox_outbox_failed WHERE seq IN (%s)"
}

// Retry puts a failed row back to where it was: before the later rows of its order key, as far
// as they are still there. What failed should have been mended: otherwise it fails again. One that was held with
// [LateHold] is then marked Redox-Possible-Duplicate. An empty source is that of the only one which has a
// failed row with the id.
func (o *Outbox) Retry(ctx context.Context, db *sql.DB, source, id string) error {
	return o.change(ctx, db, source, id, o.putBack())
}

// Discard deletes a failed row for good. With RelayConfig.HoldAfterFailed the later messages of its
// order key are then published. An empty source is that of the only one which has a failed row with
// the id.
func (o *Outbox) Discard(ctx context.Context, db *sql.DB, source, id string) error {
	return o.change(ctx, db, source, id, "")
}

// findFailed is the Seq of the first failed row with an id, of one source or of the only one.
func (o *Outbox) findFailed(ctx context.Context, db *sql.DB, source, id string) (seq int64, err error) {
	text, args := "SELECT seq, source FROM redox_outbox_failed WHERE id = ?", []any{id}
	if source != "" {
		text, args = text+" AND source = ?", append(args, source)
	}
	rows, err := db.QueryContext(ctx, o.sql(text+" ORDER BY seq DESC"), args...)
	if err != nil {
		return 0, fmt.Errorf("sqloutbox: look for a failed row: %w", err)
	}
	defer func() { _ = rows.Close() }()
	sources := map[string]bool{}
	for rows.Next() {
		if err := rows.Scan(&seq, &source); err != nil {
			return 0, err
		}
		sources[source] = true
	}
	switch err := rows.Err(); {
	case err != nil:
		return 0, fmt.Errorf("sqloutbox: look for a failed row: %w", err)
	case len(sources) == 0:
		return 0, ErrNoFailedRow
	case len(sources) > 1:
		return 0, ErrSeveralSources
	}
	return seq, nil
}

// change takes a row from the failed ones.
func (o *Outbox) change(ctx context.Context, db *sql.DB, source, id, first string) error {
	if db == nil {
		return errNoDatabase
	}
	seq, err := o.findFailed(ctx, db, source, id)
	if err != nil {
		return err
	}
	n, err := o.changeRows(ctx, db, []int64{seq}, first)
	if err == nil && n == 0 {
		err = ErrNoFailedRow // somebody else was faster
	}
	return err
}
