package sqloutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// FailedQuery selects failed rows. The zero value selects all. Each source, id and row is a value of the statement, of
// which databases take some 30,000.
type FailedQuery struct {
	// Sources whose rows count; none means all.
	Sources []string
	// IDs are the message ids that count; none means all.
	IDs []string
	// Reason is a part of why a row failed; letters count in either case.
	Reason string
	// Rows are the Seq of the rows that count; none means all.
	Rows []int64
	// After and Through bound the Seq: above After, up to Through. 0 is no bound.
	After, Through int64
	// Limit bounds how many rows are listed, the oldest first; 0 is no bound.
	Limit int
}

// where is the condition of a statement, and what it is given.
func (q FailedQuery) where() (text string, args []any) {
	var all []string
	add := func(condition string, values ...any) { all, args = append(all, condition), append(args, values...) }
	if len(q.Sources) > 0 {
		values := padded(q.Sources)
		add("source IN ("+places(len(values))+")", values...)
	}
	if len(q.IDs) > 0 {
		values := padded(q.IDs)
		add("id IN ("+places(len(values))+")", values...)
	}
	if len(q.Rows) > 0 {
		values := padded(q.Rows)
		add("seq IN ("+places(len(values))+")", values...)
	}
	if q.Reason != "" {
		part := strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(strings.ToLower(q.Reason))
		add("lower(failed) LIKE ? ESCAPE '!'", "%"+part+"%")
	}
	if q.After > 0 {
		add("seq > ?", q.After)
	}
	if q.Through > 0 {
		add("seq <= ?", q.Through)
	}
	if len(all) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(all, " AND "), args
}

// CountFailed counts the failed rows of q, whatever its Limit; last is the highest Seq of them.
func (o *Outbox) CountFailed(ctx context.Context, db *sql.DB, q FailedQuery) (rows, last int64, err error) {
	if db == nil {
		return 0, 0, errNoDatabase
	}
	where, args := q.where()
	if err := db.QueryRowContext(ctx, o.sql("SELECT count(*), COALESCE(max(seq), 0) FROM redox_outbox_failed"+where), args...).Scan(&rows, &last); err != nil {
		return 0, 0, fmt.Errorf("sqloutbox: count the failed rows of %s: %w", o.table, err)
	}
	return rows, last, nil
}

// FailedSources are the sources that have failed rows, and how many each.
func (o *Outbox) FailedSources(ctx context.Context, db *sql.DB) (map[string]int64, error) {
	if db == nil {
		return nil, errNoDatabase
	}
	rows, err := db.QueryContext(ctx, o.sql("SELECT source, count(*) FROM redox_outbox_failed GROUP BY source"))
	if err != nil {
		return nil, fmt.Errorf("sqloutbox: count the failed rows of %s: %w", o.table, err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]int64{}
	for rows.Next() {
		var source string
		var n int64
		if err := rows.Scan(&source, &n); err != nil {
			return nil, err
		}
		all[source] = n
	}
	return all, rows.Err()
}

// RetryRows puts failed rows back, named by their Seq, as [Outbox.Retry] does with one. It returns how many
// were put back: those that are gone are left out. An error ends it: what was put back before stays so.
func (o *Outbox) RetryRows(ctx context.Context, db *sql.DB, rows []int64) (int, error) {
	return o.changeRows(ctx, db, rows, o.putBack())
}

// DiscardRows deletes failed rows for good, named by their Seq, as [Outbox.Discard] does with one. It
// returns how many were deleted: those that are gone are left out. An error ends it: what was deleted
// before is gone.
func (o *Outbox) DiscardRows(ctx context.Context, db *sql.DB, rows []int64) (int, error) {
	return o.changeRows(ctx, db, rows, "")
}

// changedAtOnce is how many rows of a lane one transaction takes: a relay that has the lane waits for it.
const changedAtOnce = 256

// changeTries is how often a transaction is tried that the database has undone.
const changeTries = 10

// errCommit is in the error of a transaction that may have been done all the same.
var errCommit = errors.New("the end of a transaction was not confirmed")

var errNoDatabase = errors.New("sqloutbox: failed rows are in a database, and got nil")

// changeRows takes rows from the failed ones, lane by lane, the oldest of each first.
func (o *Outbox) changeRows(ctx context.Context, db *sql.DB, rows []int64, first string) (changed int, err error) {
	if db == nil {
		return 0, errNoDatabase
	}
	lanes, err := o.lanesOf(ctx, db, rows)
	if err != nil {
		return 0, fmt.Errorf("sqloutbox: look for failed rows: %w", err)
	}
	for _, lane := range slices.Sorted(maps.Keys(lanes)) {
		for some := range slices.Chunk(lanes[lane], changedAtOnce) {
			n, err := o.changeLane(ctx, db, lane, some, first)
			for try := 1; try < changeTries && err != nil && !errors.Is(err, errCommit) && ctx.Err() == nil; try++ { // a deadlock, say: others change rows, too
				n, err = o.changeLane(ctx, db, lane, some, first)
			}
			if err != nil {
				return changed, fmt.Errorf("sqloutbox: change failed rows: %w", err)
			}
			changed += n
		}
	}
	if changed > 0 {
		o.Kick()
	}
	return changed, nil
}

// lanesOf are those of the rows that are still there, by lane, the oldest first.
func (o *Outbox) lanesOf(ctx context.Context, db *sql.DB, seqs []int64) (map[int][]int64, error) {
	lanes := map[int][]int64{}
	for some := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(seqs))), changedAtOnce) {
		where, args := FailedQuery{Rows: some}.where()
		rows, err := db.QueryContext(ctx, o.sql("SELECT seq, lane FROM redox_outbox_failed"+where+" ORDER BY seq"), args...)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var seq int64
			var lane int
			if err = rows.Scan(&seq, &lane); err != nil {
				break
			}
			lanes[lane] = append(lanes[lane], seq)
		}
		if err = errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	return lanes, nil
}

// changeLane takes rows of one lane in one transaction. Its generation has whoever owns the lane next read
// it from its start.
func (o *Outbox) changeLane(ctx context.Context, db *sql.DB, lane int, rows []int64, first string) (int, error) {
	tx, err := db.BeginTx(ctx, o.dialect.locking())
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	// Waits for the batch of a relay that has the lane, and for whoever changes its failed rows.
	if _, err := tx.ExecContext(ctx, o.sql("UPDATE redox_outbox_lane SET generation = generation + 1 WHERE lane = ?"), lane); err != nil {
		return 0, err
	}
	values := padded(rows)
	list := places(len(values))
	put := int64(-1)
	if first != "" {
		done, err := tx.ExecContext(ctx, o.sql(fmt.Sprintf(first, list)), values...)
		if err != nil {
			return 0, err
		}
		if put, err = done.RowsAffected(); err != nil {
			return 0, err
		}
	}
	done, err := tx.ExecContext(ctx, o.sql("DELETE FROM redox_outbox_failed WHERE seq IN ("+list+")"), values...)
	if err != nil {
		return 0, err
	}
	taken, err := done.RowsAffected()
	if err != nil {
		return 0, err
	}
	if put >= 0 && put != taken {
		return 0, errors.New("rows changed meanwhile: nothing was done with them")
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("%w: %w", errCommit, err)
	}
	return int(taken), nil
}
