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
)

var horizon = flag.Duration("horizon", 5*time.Second, "how long an old transaction keeps PostgreSQL from cleaning up")

// A transaction that stays open keeps PostgreSQL from cleaning up what is deleted: 1,000 rows a
// second for as long as the flag says. All are relayed; the log says how late they were.
func TestRelay_HeldHorizon(t *testing.T) {
	const every, rows = 100 * time.Millisecond, 100
	r := postgres.serving().New(t, sqloutbox.Config{}).Provision()
	old, err := r.DB.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	r.Must(err)
	defer old.Rollback()
	var n int
	r.Must(old.QueryRowContext(t.Context(), "SELECT count(*) FROM redox_outbox").Scan(&n))
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
	part := len(lags) / 10
	last := slices.Sorted(slices.Values(lags[len(lags)-part:]))
	slices.Sort(lags)
	t.Logf("%d rows while a transaction was open for %v: lag p50 %v, p99 %v, longest %v; in the last tenth p99 %v; %d dead rows, %d bytes, held by %+v",
		committed, *horizon, lags[len(lags)/2], lags[len(lags)*99/100], lags[len(lags)-1], last[len(last)*99/100], status.DeadTuples, status.Bytes, status.Horizon)
}
