package sqltest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// manyFailedRows: they are selected by source and reason, counted, put back and deleted, by several at
// once as well; each is changed once, and no other.
func (s Server) manyFailedRows(t *testing.T) {
	r := s.New(t, sqloutbox.Config{})
	const rows = 1200
	insert := "INSERT INTO redox_outbox_failed (seq, id, source, token, request, lane, created, sealed, message, failed) SELECT seq, id, source, token, request, lane, created, sealed, message, ? FROM redox_outbox WHERE seq = ?"
	if s.Dialect == sqloutbox.Postgres {
		insert = "INSERT INTO redox_outbox_failed (seq, id, source, token, request, lane, created, sealed, message, failed) SELECT seq, id, source, token, request, lane, created, sealed, message, CAST($1 AS varchar(500)) FROM redox_outbox WHERE seq = $2"
	}
	r.fail(rows, insert)
	count := func(q sqloutbox.FailedQuery) int64 {
		t.Helper()
		n, last, err := r.Box.CountFailed(r.Ctx(), r.DB, q)
		r.Must(err)
		if (last > 0) != (n > 0) {
			t.Errorf("%d rows, the last %d", n, last)
		}
		return n
	}
	list := func(q sqloutbox.FailedQuery) (seqs []int64) {
		t.Helper()
		all, err := r.Box.FailedRows(r.Ctx(), r.DB, q)
		r.Must(err)
		for _, row := range all {
			seqs = append(seqs, row.Seq)
		}
		return seqs
	}
	sources, err := r.Box.FailedSources(r.Ctx(), r.DB)
	r.Must(err)
	if len(sources) != 3 || sources["clinic-0"] != rows/3 {
		t.Errorf("%v", sources)
	}
	first := list(sqloutbox.FailedQuery{Limit: 10})
	for q, want := range map[string]struct {
		q sqloutbox.FailedQuery
		n int64
	}{
		"all": {sqloutbox.FailedQuery{}, rows}, "a source": {sqloutbox.FailedQuery{Sources: []string{"clinic-1"}}, rows / 3}, "two": {sqloutbox.FailedQuery{Sources: []string{"clinic-1", "clinic-2", "none"}}, rows * 2 / 3},
		"a reason": {sqloutbox.FailedQuery{Reason: "100%_DONE!"}, rows / 2}, "no wildcard": {sqloutbox.FailedQuery{Reason: "100_"}, 0}, "no source": {sqloutbox.FailedQuery{Sources: []string{"none"}}, 0},
		"ids":  {sqloutbox.FailedQuery{IDs: []string{"m-0", "m-1", "m-3", "none"}, Sources: []string{"clinic-0"}}, 2},
		"some": {sqloutbox.FailedQuery{Rows: first[:3]}, 3}, "above": {sqloutbox.FailedQuery{After: first[9]}, rows - 10}, "up to": {sqloutbox.FailedQuery{Through: first[9], Reason: "100%"}, 5},
	} {
		if n := count(want.q); n != want.n {
			t.Errorf("%s: %d, want %d", q, n, want.n)
		}
	}
	all := list(sqloutbox.FailedQuery{Sources: []string{"clinic-0", "clinic-1"}})
	var retried, discarded atomic.Int64
	var at sync.WaitGroup
	for range 2 { // each row is changed by one of them
		at.Go(func() {
			n, err := r.Box.RetryRows(r.Ctx(), r.DB, all)
			if retried.Add(int64(n)); err != nil {
				t.Error(err)
			}
		})
		at.Go(func() {
			n, err := r.Box.DiscardRows(r.Ctx(), r.DB, all)
			if discarded.Add(int64(n)); err != nil {
				t.Error(err)
			}
		})
	}
	at.Wait()
	if back := int64(r.Count("redox_outbox")); retried.Load()+discarded.Load() != int64(len(all)) || retried.Load() != back || count(sqloutbox.FailedQuery{}) != rows/3 {
		t.Errorf("%d put back, %d deleted of %d; %d are in the table, %d failed", retried.Load(), discarded.Load(), len(all), back, count(sqloutbox.FailedQuery{}))
	}
	if n, err := r.Box.RetryRows(r.Ctx(), r.DB, append(first, 1<<40)); err != nil || n != 3 { // those of clinic-2
		t.Errorf("%d put back: %v", n, err)
	}
}

// fail moves rows of three sources, some with an order token, to the failed ones.
func (r *Rig) fail(rows int, insert string) {
	r.Helper()
	tx, err := r.DB.BeginTx(r.Ctx(), nil)
	r.Must(err)
	text, seqs := "INSERT INTO redox_outbox (id, source, token, message) VALUES (?, ?, ?, ?)", "SELECT seq FROM redox_outbox ORDER BY seq"
	if r.Database.Dialect == sqloutbox.Postgres {
		text = "INSERT INTO redox_outbox (id, source, token, message) VALUES ($1, $2, $3, $4)"
	}
	for n := range rows {
		token := ""
		if n%2 == 0 {
			token = fmt.Sprintf("%032x", n%64)
		}
		_, err := tx.ExecContext(r.Ctx(), text, fmt.Sprint("m-", n), fmt.Sprint("clinic-", n%3), token, []byte("NATS/1.0\r\n\r\n{}"))
		r.Must(err)
	}
	found, err := tx.QueryContext(r.Ctx(), seqs)
	r.Must(err)
	var all []int64
	for found.Next() {
		var seq int64
		r.Must(found.Scan(&seq))
		all = append(all, seq)
	}
	r.Must(found.Close())
	for n, seq := range all {
		reason := "a body is missing"
		if n%2 == 0 {
			reason = "100%_done! or so"
		}
		_, err := tx.ExecContext(r.Ctx(), insert, reason, seq)
		r.Must(err)
	}
	_, err = tx.ExecContext(r.Ctx(), "DELETE FROM redox_outbox")
	r.Must(err)
	r.Must(tx.Commit())
}
