// Package pgxtx lets package sqloutbox work in the transactions of pgx, and hear of new rows by
// PostgreSQL's LISTEN.
package pgxtx

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// Execer makes a transaction of pgx one that [sqloutbox.Outbox.Enqueue] takes. It is as safe for
// concurrent use as tx is: not.
func Execer(tx pgx.Tx) sqloutbox.Execer { return execer{tx} }

type execer struct{ tx pgx.Tx }

// ExecContext runs a statement in the transaction.
func (e execer) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if e.tx == nil {
		return nil, errors.New("pgxtx: the transaction is nil")
	}
	tag, err := e.tx.Exec(ctx, query, args...)
	return result{tag}, err
}

type result struct{ tag pgconn.CommandTag }

// LastInsertId is an error: PostgreSQL has none.
func (result) LastInsertId() (int64, error) {
	return 0, errors.New("pgxtx: PostgreSQL has no last insert id")
}

// RowsAffected counts the rows of the statement.
func (r result) RowsAffected() (int64, error) { return r.tag.RowsAffected(), nil }

// Listen wakes the relay of box in this process whenever another process commits rows with
// Config.Notify. It uses conn alone until ctx ends, whose error it then returns, or until the
// connection fails: the relay polls meanwhile, so connect again and call it again.
func Listen(ctx context.Context, conn *pgx.Conn, box *sqloutbox.Outbox) error {
	if conn == nil || box == nil {
		return errors.New("pgxtx: Listen needs a connection and an outbox")
	}
	return listen(ctx, conn, box.Channel(), box.Kick)
}

func listen(ctx context.Context, conn *pgx.Conn, channel string, kick func()) error {
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return fmt.Errorf("pgxtx: listen on %s: %w", channel, err)
	}
	for {
		kick() // for what came before the connection listened
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return fmt.Errorf("pgxtx: wait for a notification: %w", err)
		}
	}
}

// ListenDB is a [sqloutbox.Listener]: it calls kick for each notification on the channel of an
// outbox. It takes a connection of db, which has to be opened with the driver of pgx (pgx/stdlib)
// and to the server itself: what pools transactions, such as PgBouncer, passes no notifications.
func ListenDB(ctx context.Context, db *sql.DB, channel string, kick func()) error {
	if db == nil || kick == nil {
		return errors.New("pgxtx: ListenDB needs a database and what to call")
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("pgxtx: connect: %w", err)
	}
	defer func() { _ = conn.Close() }()
	var listened error
	_ = conn.Raw(func(c any) error {
		own, ok := c.(interface{ Conn() *pgx.Conn })
		if !ok {
			listened = fmt.Errorf("pgxtx: the database was not opened with the driver of pgx: its connections are %T; use pgx/stdlib", c)
			return nil
		}
		listened = listen(ctx, own.Conn(), channel, kick)
		return driver.ErrBadConn // nobody else gets a connection that listens
	})
	return listened
}
