package sqloutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Outbox writes messages to a table. It has no connection of its own and is safe for concurrent
// use.
type Outbox struct {
	dialect Dialect
	config  Config
	table   string
	kick    chan struct{}
}

// New returns an outbox of a database. It makes no request.
func New(d Dialect, cfg Config) (*Outbox, error) {
	if err := errors.Join(d.Validate(), cfg.Validate()); err != nil {
		return nil, err
	}
	if cfg.Notify && d != Postgres {
		return nil, fmt.Errorf("sqloutbox: Notify: only PostgreSQL has it; with %s leave it out, and call Kick where the relay runs in the same process", d)
	}
	cfg = cfg.WithDefaults()
	return &Outbox{dialect: d, config: cfg, table: cfg.Table, kick: make(chan struct{}, 1)}, nil
}

// Enqueue writes messages in the caller's transaction and returns their ids, in the order of the
// messages. It makes an id for a message without one, and the token of an order key. A message
// that breaks the wire contract is refused here, in the application; the whole call is then
// refused before anything is written. Bodies are copied.
//
// For ordered messages it first locks their order keys until the transaction ends. So it waits
// for a transaction that has enqueued for the same patient and has not ended, and only for
// that: transactions should be short after Enqueue. On MySQL the locks are 1,024 rows that
// order keys share, so that it may wait for another patient's transaction as well. On
// PostgreSQL a call with over 1,000 order keys locks all of them at once: others that enqueue
// ordered messages wait for that transaction, and it for theirs. Transactions that call Enqueue
// more than once may lock order keys in different orders, which the database reports as a
// deadlock to one of them; one call with all messages cannot.
//
// The same id in two rows is no error: the queue drops the second, see [outbox.Receipt].
//
// After an error of the database the transaction has to be rolled back. Errors:
// *[outbox.ContractError], *[outbox.SizeError], else that of the database.
func (o *Outbox) Enqueue(ctx context.Context, tx Execer, ms ...outbox.Message) ([]string, error) {
	if err := checkExecer(tx); err != nil {
		return nil, err
	}
	rows := make([]row, len(ms))
	ids := make([]string, len(ms))
	for i, m := range ms {
		var err error
		if rows[i], err = o.row(ctx, m); err != nil {
			if len(ms) > 1 {
				err = fmt.Errorf("message %d of %d: %w", i+1, len(ms), err)
			}
			return nil, err
		}
		ids[i] = rows[i].id
	}
	if len(ms) == 0 {
		return ids, nil
	}
	if err := o.lock(ctx, tx, rows); err != nil {
		return nil, err
	}
	if err := o.insert(ctx, tx, rows); err != nil {
		return nil, err
	}
	if o.config.Notify {
		if err := o.exec(ctx, tx, "notify the relay", "SELECT pg_notify(?, '')", o.table); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// Kick wakes a relay of this Outbox in the same process. Call it after the commit. It never
// blocks.
func (o *Outbox) Kick() {
	select {
	case o.kick <- struct{}{}:
	default:
	}
}

// Channel is the PostgreSQL channel on which Notify tells of new rows.
func (o *Outbox) Channel() string { return o.table }

func checkExecer(tx Execer) error {
	if r := reflect.ValueOf(tx); tx == nil || r.Kind() == reflect.Pointer && r.IsNil() {
		return errors.New("sqloutbox: Enqueue needs a transaction, and got nil")
	}
	if _, ok := tx.(*sql.DB); ok {
		return errors.New("sqloutbox: Enqueue needs a transaction: a *sql.DB would commit each message by itself; call BeginTx and give the *sql.Tx")
	}
	return nil
}

// row is a message as the table has it.
func (o *Outbox) row(ctx context.Context, m outbox.Message) (row, error) {
	if m.ID == "" {
		m.ID = outbox.NewID()
	}
	if err := m.MakeToken(o.config.OrderSecret); err != nil {
		return row{}, err
	}
	o.trace(ctx, &m)
	if size := int64(len(m.Body)); o.config.MaxBody >= 0 && size > o.config.MaxBody {
		return row{}, &outbox.SizeError{What: "body", Size: size, Limit: o.config.MaxBody, Name: "MaxBody of the outbox"}
	}
	msg, err := m.Encode(o.config.Prefix)
	if err != nil {
		return row{}, err
	}
	switch {
	case m.Sealed():
	case o.config.Ring != nil:
		if m, err = m.Seal(o.config.Ring, o.config.Prefix); err != nil {
			return row{}, fmt.Errorf("sqloutbox: %w", err)
		}
		if msg, err = m.Encode(o.config.Prefix); err != nil {
			return row{}, err
		}
	case o.config.RequireSeal:
		return row{}, outbox.ErrUnsealed
	}
	r := row{id: m.ID, source: m.Source, token: m.OrderToken, message: pack(msg.Header, msg.Data)}
	if m.Lane == contract.LaneRequest {
		r.request = 1
	}
	if m.Sealed() {
		r.sealed = 1
	}
	return r, nil
}

// trace has the message go with the trace of ctx, unless it has one.
func (o *Outbox) trace(ctx context.Context, m *outbox.Message) {
	if o.config.Trace == nil || m.TraceParent != "" {
		return
	}
	defer func() { _ = recover() }() // a trace is not worth a message
	m.TraceParent, m.TraceState = o.config.Trace(ctx)
}

const (
	// A statement has at most so many rows, and bytes of messages unless one row alone has more.
	insertRows  = 128
	insertBytes = 1 << 20
)

// insert writes rows in their order. The numbers of rows of a statement are powers of two, so
// that the statements that a driver prepares are few.
func (o *Outbox) insert(ctx context.Context, tx Execer, rows []row) error {
	for len(rows) > 0 {
		n := 1
		for bytes := rows[0].size(); 2*n <= min(len(rows), insertRows); n *= 2 {
			for _, r := range rows[n : 2*n] {
				bytes += r.size()
			}
			if bytes > insertBytes {
				break
			}
		}
		args := make([]any, 0, 6*n)
		for _, r := range rows[:n] {
			args = append(args, r.id, r.source, r.token, r.request, r.sealed, r.message)
		}
		text := "INSERT INTO redox_outbox (id, source, token, request, sealed, message) VALUES " +
			strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, ?), ", n), ", ")
		if err := o.exec(ctx, tx, "write to "+o.table, text, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// exec runs a statement of the default names on the caller's transaction, whose panic is an error.
func (o *Outbox) exec(ctx context.Context, tx Execer, what, text string, args ...any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("sqloutbox: %s: the transaction panicked (%T); what it panicked with may hold anything and is not shown", what, p)
		}
	}()
	if _, err = tx.ExecContext(ctx, o.sql(text), args...); err != nil {
		return fmt.Errorf("sqloutbox: %s (%s): %w", what, o.dialect, err)
	}
	return nil
}
