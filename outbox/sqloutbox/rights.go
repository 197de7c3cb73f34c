package sqloutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// CheckRights tries whether the user of a database may do what a relay does with the tables: each
// statement concerns no row, and the transaction is rolled back. It takes no lock that anybody
// waits for, but on SQLite, where it waits for other writers.
func (o *Outbox) CheckRights(ctx context.Context, db *sql.DB) error {
	if db == nil {
		return errors.New("sqloutbox: CheckRights needs a database")
	}
	const columns = "seq, id, source, token, request, lane, created, sealed, message"
	tried := []string{
		"DELETE FROM redox_outbox WHERE seq < 0",
		"INSERT INTO redox_outbox_failed (" + columns + ", failed) SELECT " + columns + ", '' FROM redox_outbox WHERE seq < 0",
		"DELETE FROM redox_outbox_failed WHERE seq < 0",
		"UPDATE redox_outbox_lane SET generation = generation WHERE lane < 0",
		"INSERT INTO redox_outbox_try (lane, source, n, owner, at, tries) SELECT lane, source, n, owner, at, tries FROM redox_outbox_try WHERE lane < 0",
		"UPDATE redox_outbox_try SET owner = owner WHERE lane < 0",
		"DELETE FROM redox_outbox_try WHERE lane < 0",
	}
	if o.dialect == MySQL {
		tried = append(tried, "SELECT n FROM redox_outbox_stripe WHERE n < 0 FOR UPDATE")
	}
	var errs []error
	for _, text := range tried {
		if err := o.tryRight(ctx, db, text); err != nil {
			errs = append(errs, fmt.Errorf("sqloutbox: try `%s`: %w", o.sql(text), err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// tryRight runs a statement in a transaction of its own: on PostgreSQL none goes on after an error.
func (o *Outbox) tryRight(ctx context.Context, db *sql.DB, text string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(ctx, o.sql(text))
	return err
}
