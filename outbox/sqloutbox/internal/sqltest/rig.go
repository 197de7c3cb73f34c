package sqltest

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// Secret is the order secret of all tests.
const Secret = "0123456789abcdef"

// Database is an empty database of its own.
type Database struct {
	Dialect     sqloutbox.Dialect
	Driver, DSN string
}

// Server makes databases.
type Server struct {
	Dialect sqloutbox.Dialect
	Fresh   func(t testing.TB) Database
}

// SQLite makes databases in files. Its driver is modernc.org/sqlite, which the test links.
func SQLite() Server {
	return Server{Dialect: sqloutbox.SQLite, Fresh: func(t testing.TB) Database {
		return Database{sqloutbox.SQLite, "sqlite", "file:" + filepath.Join(t.TempDir(), "app.db") +
			"?_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)&_txlock=immediate"}
	}}
}

// Rig is a database with the tables, and a NATS server with the queue.
type Rig struct {
	testing.TB
	Database Database
	DB       *sql.DB
	Box      *sqloutbox.Outbox
	NATS     *natsdev.Server
	JS       jetstream.JetStream
}

// New starts what a test needs; cfg is that of the outbox, but for its order secret.
func (s Server) New(t testing.TB, cfg sqloutbox.Config) *Rig {
	t.Helper()
	return s.WithNATS(t, cfg, natsdev.Options{Dir: t.TempDir(), Port: -1})
}

// WithNATS is New with options of the server.
func (s Server) WithNATS(t testing.TB, cfg sqloutbox.Config, o natsdev.Options, opts ...nats.Option) *Rig {
	t.Helper()
	r := &Rig{TB: t, Database: s.Fresh(t)}
	r.DB = r.Open()
	cfg.OrderSecret = []byte(Secret)
	box, err := sqloutbox.New(s.Dialect, cfg)
	r.Must(err)
	r.Box = box
	_, err = box.Migrate(r.Ctx(), r.DB, 0)
	r.Must(err)
	r.NATS, err = natsdev.Start(o)
	r.Must(err)
	t.Cleanup(func() {
		if err := r.NATS.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	r.JS = r.Connect(opts...)
	return r
}

// Provision makes the streams.
func (r *Rig) Provision() *Rig {
	r.Helper()
	_, err := topology.Topology{}.Ensure(r.Ctx(), r.JS)
	r.Must(err)
	return r
}

// Open opens the database once more.
func (r *Rig) Open() *sql.DB {
	r.Helper()
	db, err := sql.Open(r.Database.Driver, r.Database.DSN)
	r.Must(err)
	r.Cleanup(func() { _ = db.Close() })
	return db
}

// Connect opens a connection to NATS that outlives restarts of the server.
func (r *Rig) Connect(opts ...nats.Option) jetstream.JetStream {
	r.Helper()
	js, err := connect(r.NATS.URL(), opts...)
	r.Must(err)
	r.Cleanup(js.Conn().Close)
	return js
}

func connect(url string, opts ...nats.Option) (jetstream.JetStream, error) {
	nc, err := nats.Connect(url, append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.RetryOnFailedConnect(true),
		nats.ReconnectJitter(0, 0), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}, opts...)...)
	if err != nil {
		return nil, err
	}
	return jetstream.New(nc)
}

// Ctx ends with the test, after a minute at most.
func (r *Rig) Ctx() context.Context {
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	r.Cleanup(cancel)
	return ctx
}

// Must ends the test on an error.
func (r *Rig) Must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// Until waits for something to become so.
func (r *Rig) Until(what string, so func() bool) {
	r.Helper()
	ctx := r.Ctx()
	for !so() {
		select {
		case <-ctx.Done():
			r.Fatalf("%s: it never was", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Commit enqueues messages in a transaction of their own.
func (r *Rig) Commit(ms ...outbox.Message) []string {
	r.Helper()
	tx, err := r.DB.BeginTx(r.Ctx(), nil)
	r.Must(err)
	ids, err := r.Box.Enqueue(r.Ctx(), tx, ms...)
	r.Must(err)
	r.Must(tx.Commit())
	return ids
}

// Exec runs a statement.
func (r *Rig) Exec(text string, args ...any) {
	r.Helper()
	_, err := r.DB.ExecContext(r.Ctx(), text, args...)
	r.Must(err)
}

// Count counts the rows of a table.
func (r *Rig) Count(table string) (n int) {
	r.Helper()
	r.Must(r.DB.QueryRowContext(r.Ctx(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

// Relay runs a relay in this process until the test or stop ends it.
func (r *Rig) Relay(cfg sqloutbox.RelayConfig) (relay *sqloutbox.Relay, stop func()) {
	r.Helper()
	return r.RelayOn(r.JS, cfg)
}

// RelayOn is Relay by another connection to NATS.
func (r *Rig) RelayOn(js jetstream.JetStream, cfg sqloutbox.RelayConfig) (relay *sqloutbox.Relay, stop func()) {
	r.Helper()
	relay, err := newRelay(r.Box, r.DB, js, cfg, outbox.PublisherConfig{})
	r.Must(err)
	return relay, r.run(relay)
}

// run runs a relay until the test or stop ends it.
func (r *Rig) run(relay *sqloutbox.Relay) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- relay.Run(ctx) }()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-done; err != nil {
				r.Error(err)
			}
		}
	}
	r.Cleanup(stop)
	return stop
}

// newRelay is a relay whose publisher has these settings, and those that all have.
func newRelay(box *sqloutbox.Outbox, db *sql.DB, js jetstream.JetStream, cfg sqloutbox.RelayConfig, with outbox.PublisherConfig) (*sqloutbox.Relay, error) {
	with.OrderSecret, with.ClaimCheck = []byte(Secret), true
	publisher, err := outbox.NewPublisher(js, with)
	if err != nil {
		return nil, err
	}
	return sqloutbox.NewRelay(box, db, publisher, cfg)
}

// Empty waits until the table has no rows.
func (r *Rig) Empty() {
	r.Helper()
	r.Until("the outbox is empty", func() bool { return r.Count("redox_outbox") == 0 })
}

// Queued are the messages of the queue, in its order.
func (r *Rig) Queued() (all []outbox.Message) {
	r.Helper()
	s, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
	r.Must(err)
	last := s.CachedInfo().State.LastSeq
	for seq := max(s.CachedInfo().State.FirstSeq, 1); seq <= last; seq++ {
		msg, err := s.GetMsg(r.Ctx(), seq)
		if err != nil {
			continue // it was settled
		}
		m, err := outbox.Decode("", outbox.Stored{Subject: msg.Subject, Header: msg.Header, Body: msg.Data, Sequence: msg.Sequence, Time: msg.Time})
		if err != nil {
			r.Errorf("message %d: %v", seq, err)
		}
		all = append(all, m)
	}
	return all
}

// Ordered is a message with an order key.
func Ordered(source, key string, n int) outbox.Message {
	return outbox.Message{Source: source, OrderKey: key, Body: fmt.Appendf(nil, `{"Meta":{"DataModel":"PatientAdmin","EventType":"Arrival"},"n":%d}`, n)}
}
