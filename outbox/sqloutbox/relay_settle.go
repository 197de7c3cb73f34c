package sqloutbox

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/outbox/internal/publish"
)

// settle deletes the rows that are confirmed, moves those that never will be, ends the
// transaction, and counts both.
func (r *Relay) settle(ctx context.Context, b *batch) (done int, err error) {
	tx := b.tx
	if tx == nil {
		if tx, err = r.db.BeginTx(ctx, nil); err != nil {
			return 0, err
		}
		defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	}
	if done, err = r.finish(ctx, tx, b.items); err != nil {
		return 0, err
	}
	if err := r.amendNotes(ctx, tx, b); err != nil {
		return 0, err
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	r.moveFloor(b)
	r.ended(b)
	r.told(b.items)
	return done, nil
}

// finish deletes and moves rows.
func (r *Relay) finish(ctx context.Context, x Execer, items []*item) (done int, err error) {
	var gone []int64
	for _, i := range items {
		switch i.outcome {
		case failed:
			if err := r.moveFailed(ctx, x, i); err != nil {
				return 0, err
			}
			gone = append(gone, i.seq)
		case stored:
			gone = append(gone, i.seq)
		}
	}
	for rest := gone; len(rest) > 0; {
		n := min(len(rest), mostBatch)
		args := padded(rest[:n])
		if _, err := x.ExecContext(ctx, r.box.sql("DELETE FROM redox_outbox WHERE seq IN ("+places(len(args))+")"), args...); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(gone), nil
}

// moveFailed copies a row to the failed ones.
func (r *Relay) moveFailed(ctx context.Context, x Execer, i *item) error {
	const columns = "seq, id, source, token, request, lane, created, sealed, message"
	text := "INSERT INTO redox_outbox_failed (" + columns + ", failed) SELECT " + columns + ", ? FROM redox_outbox WHERE seq = ?"
	if r.box.dialect == Postgres {
		text = "INSERT INTO redox_outbox_failed (" + columns + ", failed) SELECT " + columns + ", CAST(? AS varchar(500)) FROM redox_outbox WHERE seq = ?"
	}
	_, err := x.ExecContext(ctx, r.box.sql(text), i.reason, i.seq)
	return err
}

// told logs and counts the rows that failed.
func (r *Relay) told(items []*item) {
	for _, i := range items {
		if i.outcome != failed {
			continue
		}
		r.log.Error("outbox: a message cannot be published; see `redoxworker outbox failed ls`", "message", i.id, "source", i.source, "error", i.reason)
		r.mu.Lock()
		r.stats.Failed++
		r.mu.Unlock()
	}
}

// probe publishes the first row of a source that waits, outside of its lane, which others are not
// to wait for. Another relay may do so at the same time: the id is the same.
func (r *Relay) probe(ctx context.Context, source string, from int64) error {
	bound, cancel := outlive(ctx)
	defer cancel()
	but, args := r.but(nil)
	i := new(item)
	rows, err := r.db.QueryContext(bound, r.box.sql("SELECT "+r.columns()+" FROM redox_outbox WHERE source = ? AND seq >= ?"+but+" ORDER BY seq LIMIT 1"),
		append([]any{source, from}, args...)...)
	if err != nil {
		return err
	}
	there := rows.Next()
	if there {
		err = i.scan(rows)
	}
	if err := cmp.Or(err, rows.Err(), rows.Close()); err != nil {
		return err
	}
	if !there {
		r.release(source)
		return nil
	}
	l := r.lanes[i.lane]
	return r.probeRow(ctx, bound, l, i)
}

func (r *Relay) probeRow(ctx, bound context.Context, l *lane, i *item) error {
	noted, err := r.noteProbe(bound, l, i)
	if err != nil {
		return err
	}
	if i.outcome != failed {
		patience := publishTime + time.Duration(i.bytes>>20)*time.Second
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := r.publishProbe(ctx, i); err != nil {
			if !publish.MayBeStored(err) && noted {
				r.forgetProbe(bound, l, i)
			}
			return err
		}
	}
	tx, err := r.db.BeginTx(bound, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if _, err := r.finish(bound, tx, []*item{i}); err != nil {
		return err
	}
	if err := r.dropProbe(bound, tx, l, i); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	r.told([]*item{i})
	r.mu.Lock()
	delete(l.tries, i.seq)
	r.mu.Unlock()
	r.release(i.source)
	return nil
}

// noteProbe judges the row by earlier tries and notes this one. fresh says that there were none.
func (r *Relay) noteProbe(ctx context.Context, l *lane, i *item) (fresh bool, err error) {
	n, err := r.readTries(ctx, r.db, l)
	if err != nil {
		return false, err
	}
	var now float64
	if err := r.db.QueryRowContext(ctx, "SELECT "+r.box.dialect.now()).Scan(&now); err != nil {
		return false, err
	}
	r.judgeOne(i, n, now, r.epoch(ctx), r.js.Conn().ConnectedServerId())
	first := n.tries[i.seq]
	return first.at == now, r.writeTries(ctx, r.db, l.number, i.source, 0, tries{i.seq: first})
}

func (r *Relay) publishProbe(ctx context.Context, i *item) error {
	if r.restarted(i) {
		return fmt.Errorf("message %s: NATS was restarted meanwhile: %w", i.id, publish.ErrMayBeStored)
	}
	m, err := r.message(ctx, i)
	if err == nil {
		r.mark(&m, i)
		_, err = r.pub.Publish(ctx, m)
	}
	switch {
	case err == nil:
		i.outcome = stored
		r.confirmed(i.source)
	case isFinal(err):
		i.outcome, i.reason = failed, safeReason(err)
	default:
		return fmt.Errorf("message %s: %w", i.id, err)
	}
	return nil
}

func (r *Relay) dropProbe(ctx context.Context, x Execer, l *lane, i *item) error {
	_, err := x.ExecContext(ctx, r.box.sql("DELETE FROM redox_outbox_try WHERE lane = ? AND source = ?"), l.number, i.source)
	return err
}

// forgetProbe drops the note of a row that surely is not stored. Where that fails the row counts as tried.
func (r *Relay) forgetProbe(ctx context.Context, l *lane, i *item) { _ = r.dropProbe(ctx, r.db, l, i) }
