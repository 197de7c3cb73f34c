package sqltest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// Enqueue tests what an application does.
func (s Server) Enqueue(t *testing.T) {
	t.Run("commit or not at all", s.commits)
	t.Run("refused", s.refuses)
	t.Run("from 1 to 100000", s.scales)
	t.Run("key lock", s.keyLock)
	t.Run("migrate", s.migrates)
}

func (s Server) commits(t *testing.T) {
	r := s.New(t, sqloutbox.Config{})
	tx, err := r.DB.BeginTx(r.Ctx(), nil)
	r.Must(err)
	ids, err := r.Box.Enqueue(r.Ctx(), tx, Ordered("clinic-a", "1", 1), outbox.Message{ID: "mine", Source: "clinic-b", Lane: contract.LaneRequest, Body: []byte("{}")})
	r.Must(err)
	if len(ids) != 2 || len(ids[0]) != 36 || ids[1] != "mine" {
		t.Errorf("ids %q", ids)
	}
	r.Must(tx.Rollback())
	if n := r.Count("redox_outbox"); n != 0 {
		t.Errorf("%d rows after a rollback", n)
	}
	if _, err := r.Box.Enqueue(r.Ctx(), tx, Ordered("clinic-a", "1", 1)); !errors.Is(err, sql.ErrTxDone) {
		t.Errorf("in a transaction that has ended: %v", err)
	}
	r.Commit(Ordered("clinic-a", "1", 1), outbox.Message{ID: "mine", Source: "clinic-a", Body: []byte("{}")}, outbox.Message{ID: "mine", Source: "clinic-a", Body: []byte("{}")})
	if n := r.Count("redox_outbox"); n != 3 {
		t.Errorf("%d rows, want 3: an id that comes again is the queue's affair", n)
	}
	if ids := r.Commit(); len(ids) != 0 {
		t.Errorf("no message: %q", ids)
	}
}

// panics is a transaction of somebody else's that is broken.
type panics struct{}

func (panics) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	panic("patient 4711")
}

func (s Server) refuses(t *testing.T) {
	r := s.New(t, sqloutbox.Config{MaxBody: 1000})
	tx, err := r.DB.BeginTx(r.Ctx(), nil)
	r.Must(err)
	defer func() { _ = tx.Rollback() }()
	good := Ordered("clinic-a", "1", 1)
	var none *sql.Tx
	for name, test := range map[string]struct {
		tx   sqloutbox.Execer
		m    outbox.Message
		want string
	}{
		"nil":            {nil, good, "got nil"},
		"nil pointer":    {none, good, "got nil"},
		"no transaction": {r.DB, good, "call BeginTx"},
		"panic":          {panics{}, good, "panicked (string)"},
		"poison":         {tx, outbox.Message{Source: "clinic-a", Kind: "fax", Body: []byte("{}")}, "Redox-Kind"},
		"source":         {tx, outbox.Message{Source: "Clinic A", Body: []byte("{}")}, "source"},
		"size":           {tx, outbox.Message{Source: "clinic-a", Body: bytes.Repeat([]byte("x"), 1001)}, "MaxBody of the outbox"},
	} {
		ids, err := r.Box.Enqueue(r.Ctx(), test.tx, good, test.m)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "4711") || ids != nil {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	var n int
	r.Must(tx.QueryRowContext(r.Ctx(), "SELECT count(*) FROM redox_outbox").Scan(&n))
	if n != 0 {
		t.Errorf("%d rows: a call that is refused writes nothing", n)
	}
	r.otherDialect(tx)
}

// otherDialect: placeholders of another driver are an error of the database, and say whose.
func (r *Rig) otherDialect(tx *sql.Tx) {
	r.Helper()
	other := sqloutbox.MySQL
	if r.Database.Dialect == sqloutbox.MySQL {
		other = sqloutbox.Postgres
	}
	box, err := sqloutbox.New(other, sqloutbox.Config{OrderSecret: []byte(Secret)})
	r.Must(err)
	if _, err := box.Enqueue(r.Ctx(), tx, Ordered("clinic-a", "1", 1)); err == nil || !strings.Contains(err.Error(), "("+string(other)+")") {
		r.Errorf("placeholders of another driver: %v", err)
	}
	box, err = sqloutbox.New(r.Database.Dialect, sqloutbox.Config{})
	r.Must(err)
	if _, err := box.Enqueue(r.Ctx(), tx, Ordered("clinic-a", "1", 1)); err == nil || !strings.Contains(err.Error(), "order.secret_file") {
		r.Errorf("no order secret: %v", err)
	}
}

// scales writes as much as one may, of as many order keys.
func (s Server) scales(t *testing.T) {
	r := s.New(t, sqloutbox.Config{})
	for _, n := range []int{1, 100_000} {
		ms := make([]outbox.Message, n)
		for i := range ms {
			ms[i] = outbox.Message{Source: "clinic-a", Body: []byte("{}"), OrderToken: fmt.Sprintf("%032x", uint64(i)*0x9e3779b97f4a7c15)}
		}
		r.Commit(ms...)
	}
	if n := r.Count("redox_outbox"); n != 100_001 {
		t.Errorf("%d rows", n)
	}
	s.large(t)
}

// large is the largest file that Redox takes, and two that are not in memory at once with it.
func (s Server) large(t *testing.T) {
	r := s.New(t, sqloutbox.Config{MaxBody: 30 << 20}).Provision()
	r.Must(r.Box.Check(r.Ctx(), r.DB))
	body := append([]byte(`{"d":"`), bytes.Repeat([]byte("x"), 30<<20-8)...)
	body = append(body, `"}`...)
	for id, body := range map[string][]byte{"large": body, "large-2": body[:18<<20], "large-3": body[:18<<20]} {
		r.Commit(outbox.Message{ID: id, Source: "clinic-a", OrderToken: strings.Repeat("0", 32), Body: body})
	}
	r.Commit(outbox.Message{ID: "small", Source: "clinic-b", Body: []byte("{}")})
	relay, _ := r.Relay(sqloutbox.RelayConfig{})
	r.Empty()
	if n := relay.Stats().Rounds; n < 2 {
		t.Errorf("%d rounds: all that is large was in one", n)
	}
	for _, m := range r.Queued() {
		if m.ID == "large" {
			stored, err := outbox.NewBodies(r.JS, "").Get(r.Ctx(), m.BodyObject, 40<<20)
			if err != nil || !bytes.Equal(stored, body) {
				t.Errorf("30 MB: %d bytes, %v", len(stored), err)
			}
		}
	}
}

// keyLock: a slow transaction is waited for by those of the same patient, and by nobody else.
func (s Server) keyLock(t *testing.T) {
	if s.Dialect == sqloutbox.SQLite {
		return // one writer at a time
	}
	r := s.New(t, sqloutbox.Config{})
	slow, err := r.DB.BeginTx(r.Ctx(), nil)
	r.Must(err)
	_, err = r.Box.Enqueue(r.Ctx(), slow, Ordered("clinic-a", "1", 1))
	r.Must(err)
	r.Commit(Ordered("clinic-a", "2", 1), outbox.Message{Source: "clinic-a", Body: []byte("{}")})
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Commit(Ordered("clinic-a", "1", 2))
	}()
	select {
	case <-done:
		t.Error("a later transaction of the patient overtook the slow one")
	case <-time.After(100 * time.Millisecond):
	}
	r.Must(slow.Commit())
	<-done
}

func (s Server) migrates(t *testing.T) {
	r := s.New(t, sqloutbox.Config{Table: "redox_outbox_app"})
	r.Must(r.Box.Check(r.Ctx(), r.DB))
	errs := make(chan error, 4)
	for range cap(errs) { // processes that start together
		go func() {
			done, err := r.Box.Migrate(r.Ctx(), r.DB, 0)
			if len(done) > 0 {
				err = errors.Join(err, errors.New("took a step twice"))
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		r.Must(<-errs)
	}
	r.Exec("UPDATE redox_outbox_app_schema SET checksum = 'x'")
	if _, err := r.Box.Migrate(r.Ctx(), r.DB, 0); err == nil || !strings.Contains(err.Error(), "another text") {
		t.Errorf("an altered step: %v", err)
	}
	r.Exec("UPDATE redox_outbox_app_schema SET version = 99")
	if err := r.Box.Check(r.Ctx(), r.DB); err == nil || !strings.Contains(err.Error(), "update it") {
		t.Errorf("tables of a newer program: %v", err)
	}
	empty := s.Fresh(t)
	db, err := sql.Open(empty.Driver, empty.DSN)
	r.Must(err)
	defer func() { _ = db.Close() }()
	if err := r.Box.Check(r.Ctx(), db); err == nil || !strings.Contains(err.Error(), "outbox migrate") {
		t.Errorf("no tables: %v", err)
	}
}
