package sqloutbox

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// unconnected is a JetStream of which only the connection is asked for.
type unconnected struct{ jetstream.JetStream }

func (unconnected) Conn() *nats.Conn { return new(nats.Conn) }

// Rows come back below the floor where a failed row is tried again. A batch of them that came to no end is read
// from its start again, and a source that is refused one of them, or was left out of them, waits from there: later rows
// of their order key would go first otherwise.
func TestRelay_RowsBelowTheFloor(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "app.db")+"?_pragma=busy_timeout(20000)&_pragma=synchronous(off)&_txlock=immediate")
	must(err)
	defer func() { _ = db.Close() }()
	box, err := New(SQLite, Config{})
	must(err)
	_, err = box.Migrate(ctx, db, 0)
	must(err)
	exec := func(text string) {
		t.Helper()
		_, err := db.ExecContext(ctx, text)
		must(err)
	}
	for range 2 {
		exec("INSERT INTO redox_outbox (id, source, token, message) VALUES ('x', 'clinic-a', '0af7651916cd43dd8448eb211c80319c', 'NATS/1.0')")
	}
	exec("UPDATE redox_outbox_lane SET generation = 1")
	l := &lane{floor: 100, high: 100, tries: tries{}}
	must(db.QueryRowContext(ctx, "SELECT lane FROM redox_outbox LIMIT 1").Scan(&l.number))
	r := &Relay{box: box, db: db, js: unconnected{}, config: RelayConfig{Batch: 1}.WithDefaults(), owner: "me", lanes: map[int]*lane{l.number: l}, waiting: map[string]*wait{}}

	exec("CREATE TRIGGER refuse BEFORE INSERT ON redox_outbox_try BEGIN SELECT RAISE(FAIL, 'no room'); END")
	if b, err := r.claim(ctx, l); err == nil {
		t.Fatalf("a note that was not written: %v", b)
	}
	exec("DROP TRIGGER refuse")
	b, err := r.claim(ctx, l)
	must(err)
	if b == nil || b.items[0].seq != 1 {
		t.Fatalf("what was read: %v", b)
	}
	r.addWait("clinic-a", errors.New("not allowed"))
	if from := r.waiting["clinic-a"].from[l]; from != 1 {
		t.Errorf("the source waits from row %d", from)
	}
	r.endWait("clinic-a")
	exec("DELETE FROM redox_outbox WHERE seq = 1") // the batch was settled, and its commit not confirmed
	if b, err = r.claim(ctx, l); err != nil || b == nil || b.items[0].seq != 2 {
		t.Fatalf("the rest of it: %v, %v", b, err)
	}
	r.waiting["clinic-b"], b.without = &wait{from: map[*lane]int64{l: 100}}, []string{"clinic-b"}
	b.items[0].outcome = stored
	if _, err := r.settle(ctx, b); err != nil || l.generation != 1 || l.begun != 0 {
		t.Errorf("generation %d, begun %d, %v", l.generation, l.begun, err)
	}
	if from, waits := r.waitsFrom("clinic-b"); !waits || from != 0 {
		t.Errorf("a source that was left out, and may have a row tried again, waits from row %d", from)
	}
	l.generation = 0
	b.without = []string{"clinic-c"} // its wait has ended since the rows were read
	if r.ended(b); l.generation != 0 {
		t.Error("the rows of a source that came back meanwhile count as read")
	}
}
