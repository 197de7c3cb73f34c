package sqltest

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// drained is how many rows a benchmark publishes, of so many order keys.
const (
	drained   = 4000
	drainKeys = 2000
)

// Throughput compares the relay with two plain loops in the same run: one row a transaction, and
// batches of a hundred that are published one by one.
func (s Server) Throughput(b *testing.B) {
	for range b.N {
		one, oneCPU := s.drain(b, drained/8, func(ctx context.Context, r *Rig) { loop(ctx, r, 1) })
		hundred, hundredCPU := s.drain(b, drained, func(ctx context.Context, r *Rig) { loop(ctx, r, 100) })
		relay, relayCPU := s.drain(b, drained, func(ctx context.Context, r *Rig) {
			relay, err := newRelay(r.Box, r.DB, r.JS, sqloutbox.RelayConfig{}, outbox.PublisherConfig{})
			r.Must(err)
			_ = relay.Run(ctx)
		})
		b.ReportMetric(relay, "rows/s")
		b.ReportMetric(one, "rows/s-one-by-one")
		b.ReportMetric(hundred, "rows/s-batches-of-100")
		// Of this process, NATS included: it says more on a machine that is busy.
		b.ReportMetric(relayCPU, "cpu-us/row")
		b.ReportMetric(oneCPU, "cpu-us/row-one-by-one")
		b.ReportMetric(hundredCPU, "cpu-us/row-batches-of-100")
		b.ReportMetric(relay/one, "x-one-by-one")
		b.ReportMetric(relay/hundred, "x-batches-of-100")
	}
	b.ReportMetric(0, "ns/op")
}

// drain fills a table of its own and answers how many rows a second are relayed, and the time of
// processors that a row took, in microseconds.
func (s Server) drain(b *testing.B, rows int, relay func(ctx context.Context, r *Rig)) (rate, cpu float64) {
	b.Helper()
	r := s.New(b, sqloutbox.Config{}).Provision()
	ms := make([]outbox.Message, rows)
	for n := range ms {
		ms[n] = Ordered("clinic-a", fmt.Sprint(n%drainKeys), n)
		ms[n].Body = append(ms[n].Body[:len(ms[n].Body)-1], fmt.Sprintf(`,"pad":"%02000d"}`, n)...)
	}
	r.Commit(ms...)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began, used := time.Now(), processorTime()
	done := make(chan struct{})
	go func() { defer close(done); relay(ctx, r) }()
	r.Until("all are stored", func() bool {
		stream, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
		return err == nil && stream.CachedInfo().State.Msgs == uint64(rows)
	})
	rate = float64(rows) / time.Since(began).Seconds()
	cpu = float64((processorTime() - used).Microseconds()) / float64(rows)
	cancel()
	<-done
	return rate, cpu
}

// processorTime is what this process used.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// loop relays as one would at first, alone.
func loop(ctx context.Context, r *Rig, batch int) {
	n := naive{db: r.DB, js: r.JS, dialect: r.Database.Dialect}
	for ctx.Err() == nil {
		if err := n.batch(ctx, batch); err != nil {
			jsapi.Sleep(ctx, time.Millisecond)
		}
	}
}

// batch publishes and deletes rows in one transaction.
func (n naive) batch(ctx context.Context, limit int) error {
	tx, err := n.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	rows, err := tx.QueryContext(ctx, fmt.Sprintf("SELECT seq, id, source, token, message FROM redox_outbox ORDER BY seq LIMIT %d", limit))
	if err != nil {
		return err
	}
	all, err := scanWithBodies(rows)
	if err != nil {
		return err
	}
	for i := range all {
		if err := n.publish(ctx, all[i]); err != nil {
			return err
		}
	}
	for _, row := range all {
		if _, err := tx.ExecContext(ctx, n.sql("DELETE FROM redox_outbox WHERE seq = ?"), row.seq); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func scanWithBodies(rows *sql.Rows) (all []naiveRow, err error) {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var row naiveRow
		if err := rows.Scan(&row.seq, &row.id, &row.source, &row.token, &row.body); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// Lag measures the time from a commit to the confirmation of the queue at 25 rows a second.
func (s Server) Lag(b *testing.B) {
	const rows, every = 100, 40 * time.Millisecond
	for range b.N {
		for name, kick := range map[string]bool{"polling": false, "kick": true} {
			r := s.New(b, sqloutbox.Config{}).Provision()
			_, stop := r.Relay(sqloutbox.RelayConfig{})
			jsapi.Sleep(r.Ctx(), 2*time.Second) // it is idle
			lags := r.lags(rows, every, kick)
			stop()
			b.ReportMetric(float64(lags[len(lags)*99/100].Microseconds())/1000, "ms-p99-"+name)
			b.ReportMetric(float64(lags[len(lags)/2].Microseconds())/1000, "ms-p50-"+name)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// lags are the times of rows that are committed now and then, sorted. The first is that of an idle
// table, and is left out.
func (r *Rig) lags(rows int, every time.Duration, kick bool) (lags []time.Duration) {
	r.Helper()
	stored := make(chan time.Time, rows)
	stop := r.Follow(func(_ []byte, at time.Time) { stored <- at })
	defer stop()
	for n := range rows {
		r.Commit(Ordered("clinic-a", fmt.Sprint(n%7), n))
		committed := time.Now()
		if kick {
			r.Box.Kick()
		}
		at := <-stored
		if n > 0 {
			lags = append(lags, at.Sub(committed))
		}
		jsapi.Sleep(r.Ctx(), every-time.Since(committed))
	}
	slices.Sort(lags)
	return lags
}

// Follow calls f whenever a message is stored, with its body, and settles it.
func (r *Rig) Follow(f func(body []byte, at time.Time)) (stop func()) {
	r.Helper()
	stream, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
	r.Must(err)
	consumer, err := stream.CreateConsumer(r.Ctx(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	r.Must(err)
	c, err := consumer.Consume(func(m jetstream.Msg) {
		at := time.Now()
		_ = m.Ack()
		f(m.Data(), at)
	})
	r.Must(err)
	return c.Stop
}
