package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox/internal/sqltest"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox/pgxtx"
)

// A transaction of pgx enqueues as one of database/sql does, and PostgreSQL wakes who listens.
func TestPgxtx(t *testing.T) {
	r := postgres.serving().New(t, sqloutbox.Config{Notify: true}).Provision()
	ctx, cancel := context.WithCancel(r.Ctx())
	defer cancel()
	listener, err := pgx.Connect(ctx, r.Database.DSN)
	r.Must(err)
	defer listener.Close(context.Background())
	listening := make(chan error, 1)
	go func() { listening <- pgxtx.Listen(ctx, listener, r.Box) }()
	r.Relay(sqloutbox.RelayConfig{})

	conn, err := pgx.Connect(ctx, r.Database.DSN)
	r.Must(err)
	defer conn.Close(context.Background())
	for _, commit := range []bool{false, true} {
		tx, err := conn.Begin(ctx)
		r.Must(err)
		_, err = r.Box.Enqueue(ctx, pgxtx.Execer(tx), sqltest.Ordered("clinic-a", "1", 1), sqltest.Ordered("clinic-a", "2", 1))
		r.Must(err)
		if commit {
			r.Must(tx.Commit(ctx))
		} else {
			r.Must(tx.Rollback(ctx))
		}
	}
	r.Until("both are stored", func() bool { return len(r.Queued()) == 2 })
	if _, err := r.Box.Enqueue(ctx, pgxtx.Execer(nil), sqltest.Ordered("clinic-a", "1", 1)); err == nil {
		t.Error("a transaction that is nil")
	}
	cancel()
	if err := <-listening; !errors.Is(err, context.Canceled) {
		t.Errorf("Listen: %v", err)
	}
}

// A replica that is promoted, or a copy that is brought back, lacks the last rows and gives their numbers to others: these
// are published in their order by a relay that knew the old ones.
func TestRelay_AnOlderCopyOfTheDatabase(t *testing.T) {
	r := postgres.serving().New(t, sqloutbox.Config{}).Provision()
	name := r.Database.DSN[strings.LastIndexByte(r.Database.DSN, '/')+1:]
	name, _, _ = strings.Cut(name, "?")
	root := func(text string) {
		t.Helper()
		_, err := postgres.root.ExecContext(r.Ctx(), text)
		r.Must(err)
	}
	alone := func() { // nobody else is connected
		root("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name + "'")
	}
	alone()
	root("CREATE DATABASE " + name + "_copy TEMPLATE " + name)
	relay, _ := r.Relay(sqloutbox.RelayConfig{})
	for range 10 { // numbers 1 to 10, up to where the floors of all lanes come
		r.Commit(sqltest.Ordered("clinic-a", "1", 1))
		r.Empty()
	}
	for n := range 16 {
		m := outbox.Message{Source: "clinic-b", OrderToken: fmt.Sprintf("%x%031x", n, n), Body: []byte("{}")}
		r.Commit(m)
	}
	r.Empty()
	relayed := func() (n uint64) {
		for _, of := range relay.Stats().Relayed {
			n += of
		}
		return n
	}
	r.Until("all is counted", func() bool { return relayed() == 26 })
	r.SettleAll()
	root("ALTER DATABASE " + name + " ALLOW_CONNECTIONS false")
	alone()
	root("ALTER DATABASE " + name + " RENAME TO " + name + "_lost")
	root("ALTER DATABASE " + name + "_copy RENAME TO " + name)
	var all []outbox.Message
	for n := range 40 {
		all = append(all, sqltest.Ordered("clinic-a", "1", n))
	}
	r.Until("the database is there again", func() bool { return r.DB.PingContext(r.Ctx()) == nil })
	r.Commit(all...)
	r.Empty()
	for n, m := range r.Queued() {
		if want := fmt.Sprintf(`"n":%d}`, n); !strings.HasSuffix(string(m.Body), want) {
			t.Fatalf("number %d is %s", n, m.Body)
		}
	}
}

// What makes numbers come in another order than commits is refused.
func TestCheck_TrapsOfOrder(t *testing.T) {
	r := postgres.serving().New(t, sqloutbox.Config{})
	r.Must(r.Box.Check(r.Ctx(), r.DB))
	r.Exec("ALTER TABLE redox_outbox ALTER COLUMN seq SET CACHE 20")
	err := r.Box.Check(r.Ctx(), r.DB)
	if err == nil || !strings.Contains(err.Error(), "CACHE 20") {
		t.Fatalf("a sequence with a cache: %v", err)
	}
	_, mend, _ := strings.Cut(err.Error(), "run `")
	mend, _, _ = strings.Cut(mend, "`")
	r.Exec(mend)
	r.Must(r.Box.Check(r.Ctx(), r.DB))

	m := maria.serving().New(t, sqloutbox.Config{})
	m.Must(m.Box.Check(m.Ctx(), m.DB))
	m.DB.SetMaxOpenConns(1)
	m.Exec("SET SESSION auto_increment_increment = 3")
	if err := m.Box.Check(m.Ctx(), m.DB); err == nil || !strings.Contains(err.Error(), "auto_increment_increment is 3") {
		t.Errorf("servers that all write: %v", err)
	}
	m.Exec("SET SESSION auto_increment_increment = 1")
	m.Exec("SET SESSION autocommit = 0")
	if err := m.Box.Check(m.Ctx(), m.DB); err == nil || !strings.Contains(err.Error(), "autocommit=1") {
		t.Errorf("without autocommit: %v", err)
	}
	m.Exec("SET SESSION autocommit = 1")
	box, err := sqloutbox.New(sqloutbox.MySQL, sqloutbox.Config{MaxBody: 100 << 20})
	m.Must(err)
	if err := box.Check(m.Ctx(), m.DB); err == nil || !strings.Contains(err.Error(), "max_allowed_packet") {
		t.Errorf("bodies over max_allowed_packet: %v", err)
	}
}

// ListenDB hears of each commit, also by a relay, and gives its connection back to nobody.
func TestPgxtx_ListenDB(t *testing.T) {
	r := postgres.serving().New(t, sqloutbox.Config{Notify: true}).Provision()
	ctx, cancel := context.WithCancel(r.Ctx())
	defer cancel()
	kicks := make(chan struct{}, 100)
	listened := make(chan error, 1)
	listen := func() {
		listened <- pgxtx.ListenDB(ctx, r.DB, r.Box.Channel(), func() { kicks <- struct{}{} })
	}
	go listen()
	<-kicks // it listens
	tx, err := r.DB.BeginTx(ctx, nil)
	r.Must(err)
	_, err = r.Box.Enqueue(ctx, tx, sqltest.Ordered("clinic-a", "1", 1))
	r.Must(err)
	r.Must(tx.Rollback())
	r.Commit(sqltest.Ordered("clinic-a", "2", 1), sqltest.Ordered("clinic-a", "3", 1))
	<-kicks
	r.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()")
	if err := <-listened; err == nil || ctx.Err() != nil {
		t.Errorf("ListenDB, its connection closed: %v", err)
	}
	go listen()
	<-kicks
	cancel()
	if err := <-listened; !errors.Is(err, context.Canceled) {
		t.Errorf("ListenDB: %v", err)
	}
	if n := len(kicks); n != 0 {
		t.Errorf("%d kicks too many: a rollback is none, two rows of a commit are one", n)
	}
	r.Until("nobody listens", func() bool {
		var n int
		r.Must(r.DB.QueryRowContext(r.Ctx(), "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()").Scan(&n))
		return n == 0
	})

	r.Relay(sqloutbox.RelayConfig{Listen: pgxtx.ListenDB})
	r.Empty()
	m := maria.serving().New(t, sqloutbox.Config{})
	if err := pgxtx.ListenDB(m.Ctx(), m.DB, "redox_outbox", func() {}); err == nil || !strings.Contains(err.Error(), "use pgx/stdlib") {
		t.Errorf("ListenDB on MariaDB: %v", err)
	}
}

// In the hour that comes twice when summer ends, a row that was written just now is not an hour old.
func TestStatus_InTheHourThatComesTwice(t *testing.T) {
	m := maria.serving().New(t, sqloutbox.Config{})
	m.DB.SetMaxOpenConns(1)
	for _, at := range []time.Time{time.Date(2026, 11, 1, 5, 30, 0, 0, time.UTC), time.Date(2026, 11, 1, 6, 30, 0, 0, time.UTC)} {
		m.Exec(fmt.Sprintf("SET SESSION timestamp = %d", at.Unix()))
		m.Commit(sqltest.Ordered("clinic-a", "1", 1))
		status, err := m.Box.Status(m.Ctx(), m.DB)
		m.Must(err)
		if status.OldestSeconds != 0 {
			t.Errorf("at %v it is %v seconds old", at, status.OldestSeconds)
		}
		m.Exec("DELETE FROM redox_outbox")
	}
}

// fallsSilent: a relay whose host is gone, which the server is not told, does not keep its lanes.
func fallsSilent(t *testing.T) {
	t.Parallel()
	r := postgres.serving().New(t, sqloutbox.Config{}).Provision()
	frozen := r.Frozen(func() bool {
		var n int
		r.Must(r.DB.QueryRowContext(r.Ctx(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'").Scan(&n))
		return n > 0
	})
	defer frozen()
	r.Relay(sqloutbox.RelayConfig{})
	r.Empty()
}

// The tables are made, and messages enqueued, also where % and " are no operators and quotes of MySQL's.
func TestMigrate_InTheModesOfOthers(t *testing.T) {
	m := maria.serving().New(t, sqloutbox.Config{})
	m.DB.SetMaxOpenConns(1)
	for n, mode := range []string{"ORACLE", "ANSI,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES", ""} {
		m.Exec("SET SESSION sql_mode = '" + mode + "'")
		box, err := sqloutbox.New(sqloutbox.MySQL, sqloutbox.Config{Table: fmt.Sprint("outbox_", n), OrderSecret: []byte(sqltest.Secret)})
		m.Must(err)
		if _, err := box.Migrate(m.Ctx(), m.DB, 0); err != nil {
			t.Errorf("%q: %v", mode, err)
			continue
		}
		m.Box = box
		m.Commit(sqltest.Ordered("clinic-a", "1", 1))
	}
}
