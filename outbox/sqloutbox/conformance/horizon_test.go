package conformance

import (
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox/internal/sqltest"
)

var horizon = flag.Duration("horizon", 5*time.Second, "how long an old transaction keeps PostgreSQL from cleaning up")

// holdHorizon begins a transaction that keeps PostgreSQL from cleaning up, and returns what ends it.
func holdHorizon(r *sqltest.Rig) (end func()) {
	r.Helper()
	old, err := r.DB.BeginTx(r.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	r.Must(err)
	var n int
	r.Must(old.QueryRowContext(r.Context(), "SELECT count(*) FROM redox_outbox").Scan(&n))
	return func() { _ = old.Rollback() }
}

// A transaction that stays open keeps PostgreSQL from cleaning up what is deleted: 1,000 rows a
// second for as long as the flag says. All are relayed; the log says how late they were.
func TestRelay_HeldHorizon(t *testing.T) {
	const every, rows = 100 * time.Millisecond, 100
	r := postgres.serving().New(t, sqloutbox.Config{}).Provision()
	defer holdHorizon(r)()
	r.Relay(sqloutbox.RelayConfig{})
	var mu sync.Mutex
	var lags []time.Duration
	stop := r.Follow(func(body []byte, at time.Time) {
		var m struct{ At int64 }
		if json.Unmarshal(body, &m) == nil {
			mu.Lock()
			defer mu.Unlock()
			lags = append(lags, at.Sub(time.Unix(0, m.At)))
		}
	})
	defer stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	committed := 0
	for began := time.Now(); time.Since(began) < *horizon; <-tick.C {
		ms := make([]outbox.Message, rows)
		for i := range ms {
			ms[i] = outbox.Message{Source: "clinic-a", OrderKey: fmt.Sprint((committed + i) % 2000), Body: fmt.Appendf(nil, `{"at":%d}`, time.Now().UnixNano())}
		}
		r.Commit(ms...)
		committed += rows
	}
	r.Until("all are relayed", func() bool { mu.Lock(); defer mu.Unlock(); return len(lags) == committed })
	status, err := r.Box.Status(t.Context(), r.DB)
	r.Must(err)
	var tenths []time.Duration // p99 of each
	for part := range slices.Chunk(lags, len(lags)/10) {
		part = slices.Sorted(slices.Values(part))
		tenths = append(tenths, part[len(part)*99/100].Round(time.Millisecond))
	}
	slices.Sort(lags)
	t.Logf("%d rows while a transaction was open for %v: lag p50 %v, p99 %v, longest %v; p99 of each tenth %v; %d dead rows, %d bytes, held by %+v",
		committed, *horizon, lags[len(lags)/2], lags[len(lags)*99/100], lags[len(lags)-1], tenths, status.DeadTuples, status.Bytes, status.Horizon)
}

// What an old transaction keeps from being cleaned up is not read again with each batch, whichever of
// two relays has the lane.
func TestRelay_ReadsLittleOfWhatIsDead(t *testing.T) {
	const dead, rows = 20_000, 60
	r := postgres.serving().New(t, sqloutbox.Config{}).Provision()
	defer holdHorizon(r)()
	r.Exec("INSERT INTO redox_outbox (id, source, token, message) SELECT 'id-' || n, 'clinic-a', md5(CAST(n AS text)), '{}' FROM generate_series(1, $1) n", dead)
	r.Exec("DELETE FROM redox_outbox")
	for i := range 16 { // the first row of each lane, which is found behind all that is dead
		r.Commit(outbox.Message{Source: "clinic-a", OrderToken: fmt.Sprintf("%x%031x", i, 0), Body: []byte("{}")})
	}
	one, _ := r.Relay(sqloutbox.RelayConfig{})
	other, _ := r.Relay(sqloutbox.RelayConfig{})
	relayed := func() int { return int(one.Stats().Relayed["clinic-a"] + other.Stats().Relayed["clinic-a"]) }
	for i := range rows {
		r.Until("a row is relayed", func() bool { return relayed() == 16+i })
		r.Commit(outbox.Message{Source: "clinic-a", OrderToken: fmt.Sprintf("%032x", i), Body: []byte("{}")})
	}
	r.Until("all are relayed", func() bool { return relayed() == 16+rows })
	var n int
	r.Until("PostgreSQL has counted what was read", func() bool {
		return r.DB.QueryRowContext(t.Context(), "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'redox_outbox_lane_seq'").Scan(&n) == nil && n > 0
	})
	if n > 30*dead {
		t.Errorf("%d entries of the index were read for %d rows beside %d dead ones", n, rows, dead)
	}
}

// A row whose transaction took longer than those of later rows is below what the relay looks at by then,
// and is relayed nevertheless.
func TestRelay_LateRows(t *testing.T) {
	each(t, func(t *testing.T, s sqltest.Server) {
		r := s.New(t, sqloutbox.Config{}).Provision()
		r.Relay(sqloutbox.RelayConfig{})
		long, err := r.DB.BeginTx(t.Context(), nil)
		r.Must(err)
		defer long.Rollback()
		_, err = r.Box.Enqueue(t.Context(), long, outbox.Message{ID: "late-a", Source: "clinic-a", Body: []byte("{}")})
		r.Must(err)
		for range 30 { // the floor rises ten times a second
			r.Commit(outbox.Message{ID: outbox.NewID() + "-a", Source: "clinic-a", Body: []byte("{}")})
			r.Empty()
		}
		r.Must(long.Commit())
		r.Empty()
		if all := r.Queued(); len(all) != 31 || all[30].ID != "late-a" {
			t.Errorf("%d messages", len(all))
		}
	})
}
