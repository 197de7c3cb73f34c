package sqltest

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// naive relays as one would at first. It is here to be found wrong.
type naive struct {
	db      *sql.DB
	js      jetstream.JetStream
	dialect sqloutbox.Dialect
}

type naiveRow struct {
	seq               int64
	id, source, token string
	body              []byte
}

func (n naive) run(ctx context.Context, a Algorithm) error {
	var cursor int64
	for ctx.Err() == nil {
		var err error
		if a == Cursor {
			cursor, err = n.cursor(ctx, cursor)
		} else {
			err = n.rows(ctx)
		}
		if err != nil {
			jsapi.Sleep(ctx, 20*time.Millisecond)
		}
	}
	return nil
}

func (n naive) publish(ctx context.Context, row naiveRow) error {
	m := nats.NewMsg("redox.out." + row.source + ".send." + row.token)
	m.Header.Set("Nats-Msg-Id", row.source+":"+row.id)
	m.Header.Set("Redox-Message-Id", row.id)
	m.Data = row.body
	_, err := n.js.PublishMsg(ctx, m)
	return err
}

func (n naive) sql(text string) string {
	if n.dialect == sqloutbox.Postgres {
		return strings.Replace(text, "?", "$1", 1)
	}
	return text
}

func scanNaive(rows *sql.Rows, err error) ([]naiveRow, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []naiveRow
	for rows.Next() {
		var row naiveRow
		if err := rows.Scan(&row.seq, &row.id, &row.source, &row.token); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// cursor publishes what is behind the last row that it has seen. It deletes what it has
// published, so that what it lost is left.
func (n naive) cursor(ctx context.Context, cursor int64) (int64, error) {
	all, err := scanNaive(n.db.QueryContext(ctx, n.sql("SELECT seq, id, source, token FROM redox_outbox WHERE seq > ? ORDER BY seq LIMIT 100"), cursor))
	if err != nil {
		return cursor, err
	}
	for _, row := range all {
		if err := n.publish(ctx, row); err != nil {
			return cursor, err
		}
		cursor = row.seq
		if _, err := n.db.ExecContext(ctx, n.sql("DELETE FROM redox_outbox WHERE seq = ?"), row.seq); err != nil {
			return cursor, err
		}
	}
	return cursor, nil
}

// rows locks the first rows that nobody else has, and publishes them.
func (n naive) rows(ctx context.Context) error {
	tx, err := n.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	all, err := scanNaive(tx.QueryContext(ctx, "SELECT seq, id, source, token FROM redox_outbox ORDER BY seq LIMIT 20 FOR UPDATE SKIP LOCKED"))
	if err != nil {
		return err
	}
	for _, row := range all {
		if err := n.publish(ctx, row); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, n.sql("DELETE FROM redox_outbox WHERE seq = ?"), row.seq); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// once closes a channel once.
func once(c chan struct{}) func() { return sync.OnceFunc(func() { close(c) }) }
