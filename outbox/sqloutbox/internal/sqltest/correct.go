package sqltest

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

const (
	writers  = 8
	patients = 40
)

// Trial is one run of writers and relays that are killed.
type Trial struct {
	// Transactions that are begun; a third of them is rolled back.
	Transactions int
	// EnqueueFirst: the application enqueues before it locks the patient's row.
	EnqueueFirst bool
	// NoKeyLock is that of the outbox.
	NoKeyLock bool
	// Relay is how it is relayed, by three processes, of a Cursor by one.
	Relay Algorithm
	// Kill one of them now and then, and restart NATS once.
	Kill bool
}

// Result counts what a trial showed. All but Committed and Kills should be 0.
type Result struct {
	Committed, Kills, Lost, Twice, NeverCommitted, OutOfOrder int
}

// Clean reports whether nothing went wrong.
func (r Result) Clean() bool { return r.Lost+r.Twice+r.NeverCommitted+r.OutOfOrder == 0 }

// Heading and String are the rows of a table.
const Heading = "| database | relay | application | committed | kills | lost | stored twice | never committed | out of order |\n|---|---|---|---|---|---|---|---|---|"

// Row is one row of the table under Heading.
func (r Result) Row(d sqloutbox.Dialect, t Trial) string {
	first := "locks the patient first"
	if t.EnqueueFirst {
		first = "enqueues first"
	}
	if t.NoKeyLock {
		first += ", no key lock"
	}
	return fmt.Sprintf("| %s | %s | %s | %d | %d | %d | %d | %d | %d |", d, t.Relay, first, r.Committed, r.Kills, r.Lost, r.Twice, r.NeverCommitted, r.OutOfOrder)
}

// truth is what the application committed.
type truth struct {
	mu       sync.Mutex
	versions map[string]version // by message id
}

type version struct{ patient, n int }

// Run runs a trial.
func (s Server) Run(t testing.TB, trial Trial) Result {
	t.Helper()
	r := s.New(t, sqloutbox.Config{NoKeyLock: trial.NoKeyLock}).Provision()
	r.Exec("CREATE TABLE patients (id integer PRIMARY KEY, version integer NOT NULL)")
	for p := range patients {
		r.Exec(fmt.Sprintf("INSERT INTO patients VALUES (%d, 0)", p))
	}
	known := &truth{versions: map[string]version{}}
	processes := 3
	if trial.Relay == Cursor {
		processes = 1
	}
	var result Result
	relays := make([]*process, processes)
	for n := range relays {
		relays[n] = r.start(trial.Relay)
	}
	written := make(chan struct{})
	go func() { defer once(written)(); r.write(trial, known) }()
	empty := r.relayed(trial, written)
	for n := 0; trial.Kill; n++ {
		select {
		case <-empty:
		case <-time.After(time.Second):
			if n == 1 {
				r.Must(r.NATS.Restart())
			}
			relays[n%processes].kill()
			relays[n%processes] = r.start(trial.Relay)
			result.Kills++
			continue
		}
		break
	}
	<-empty
	for _, p := range relays {
		p.kill()
	}
	r.judge(known, &result)
	return result
}

// relayed is closed when all is written, and nothing is left in the table, or, of a relay that
// loses rows, nothing changes any more.
func (r *Rig) relayed(trial Trial, written <-chan struct{}) <-chan struct{} {
	empty := make(chan struct{})
	go func() {
		defer close(empty)
		<-written
		last, since := -1, time.Now()
		for r.Context().Err() == nil {
			var n int
			if r.DB.QueryRowContext(r.Context(), "SELECT count(*) FROM redox_outbox").Scan(&n) == nil {
				if n != last {
					last, since = n, time.Now()
				}
				if n == 0 || trial.Relay == Cursor && time.Since(since) > time.Second {
					return
				}
			}
			jsapi.Sleep(r.Context(), 20*time.Millisecond)
		}
	}()
	return empty
}

// write runs the application's transactions.
func (r *Rig) write(trial Trial, known *truth) {
	var left atomic.Int64
	left.Store(int64(trial.Transactions))
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				for r.transact(trial, known, n%3 == 0) != nil && r.Context().Err() == nil {
				}
			}
		})
	}
	all.Wait()
}

// transact changes a patient and enqueues a message, in one transaction.
func (r *Rig) transact(trial Trial, known *truth, rollback bool) error {
	ctx := r.Context()
	patient := rand.IntN(patients)
	m := Ordered("clinic-a", fmt.Sprint(patient), 0)
	m.ID = outbox.NewID()
	tx, err := r.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if trial.EnqueueFirst {
		if _, err := r.Box.Enqueue(ctx, tx, m); err != nil {
			return err
		}
		jsapi.Sleep(ctx, time.Duration(rand.IntN(300))*time.Microsecond)
	}
	v, err := lockPatient(ctx, tx, patient)
	if err != nil {
		return err
	}
	if !trial.EnqueueFirst {
		if _, err := r.Box.Enqueue(ctx, tx, m); err != nil {
			return err
		}
	}
	if rollback {
		return tx.Rollback()
	}
	known.mu.Lock()
	known.versions[m.ID] = version{patient, v}
	known.mu.Unlock()
	if err := tx.Commit(); err != nil {
		known.mu.Lock()
		delete(known.versions, m.ID)
		known.mu.Unlock()
		return err
	}
	return nil
}

func lockPatient(ctx context.Context, tx *sql.Tx, patient int) (version int, err error) {
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE patients SET version = version + 1 WHERE id = %d", patient)); err != nil {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, fmt.Sprintf("SELECT version FROM patients WHERE id = %d", patient)).Scan(&version)
	return version, err
}

// judge compares the queue with what was committed.
func (r *Rig) judge(known *truth, result *Result) {
	r.Helper()
	seen := map[string]bool{}
	last := map[int]int{}
	for _, m := range r.Queued() {
		v, committed := known.versions[m.ID]
		switch {
		case !committed:
			result.NeverCommitted++
			continue
		case seen[m.ID]:
			result.Twice++
			continue
		}
		seen[m.ID] = true
		if v.n < last[v.patient] {
			result.OutOfOrder++
		}
		last[v.patient] = v.n
	}
	result.Committed = len(known.versions)
	result.Lost = len(known.versions) - len(seen)
}

// Correct is the test that every relay and every application has to pass.
func (s Server) Correct(t *testing.T, transactions int) {
	lines := []string{Heading}
	for _, first := range []bool{false, true} {
		trial := Trial{Transactions: transactions, EnqueueFirst: first, Relay: Lanes, Kill: true}
		result := s.Run(t, trial)
		lines = append(lines, result.Row(s.Dialect, trial))
		if !result.Clean() {
			t.Errorf("%+v: %+v", trial, result)
		}
	}
	t.Log("\n" + strings.Join(lines, "\n"))
}

// NaiveFail shows that Correct can fail: each piece that is left out is found.
func (s Server) NaiveFail(t *testing.T, transactions int) {
	lines := []string{Heading}
	for _, trial := range []Trial{
		{EnqueueFirst: true, Relay: Cursor},
		{EnqueueFirst: true, Relay: Rows},
		{EnqueueFirst: true, Relay: Lanes, NoKeyLock: true},
	} {
		trial.Transactions = transactions
		result := s.Run(t, trial)
		for try := 1; result.Clean() && try < 5; try++ {
			trial.Transactions *= 2
			result = s.Run(t, trial)
		}
		lines = append(lines, result.Row(s.Dialect, trial))
		if result.Clean() {
			t.Errorf("%+v passes: the test shows nothing", trial)
		}
	}
	t.Log("\n" + strings.Join(lines, "\n"))
}
