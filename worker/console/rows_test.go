package console_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/console"
)

// newOutbox is an SQL outbox with failed rows of some sources in turn, whose bodies hold a secret each.
func newOutbox(t *testing.T, rows int, sources ...string) (*sqloutbox.Outbox, *sql.DB) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "app.db")+"?_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)&_txlock=immediate")
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	box, err := sqloutbox.New(sqloutbox.SQLite, sqloutbox.Config{})
	must(t, err)
	_, err = box.Migrate(t.Context(), db, 0)
	must(t, err)
	tx, err := db.BeginTx(t.Context(), nil)
	must(t, err)
	for n := range rows {
		why := "the message breaks the contract: no header block"
		if n%4 == 3 {
			why = "the body is missing"
		}
		_, err := tx.ExecContext(t.Context(), "INSERT INTO redox_outbox_failed (seq, id, source, token, request, lane, created, sealed, message, failed) VALUES (?, ?, ?, '', 0, 0, 0, 0, ?, ?)",
			n+1, fmt.Sprint("row-", n+1), sources[n%len(sources)], []byte(secret(n)), why)
		must(t, err)
	}
	must(t, tx.Commit())
	return box, db
}

// withOutbox is a rig whose console reaches such an outbox.
func withOutbox(t *testing.T, rows int, sources ...string) (*rig, *sql.DB) {
	t.Helper()
	box, db := newOutbox(t, rows, sources...)
	return newRig(t, func(c *console.Config) { c.Outbox, c.Database = box, db }), db
}

func countRows(t *testing.T, db *sql.DB, table string) (n int) {
	t.Helper()
	must(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

// Failed rows are shown by source and reason, counted, asked for, and retried with an entry in the audit
// trail; asked twice it is done once.
func TestConsole_RetriesFailedRows(t *testing.T) {
	t.Parallel()
	r, db := withOutbox(t, 120, "clinic-a", "lab-1", "lab-2")
	page := r.get("otto", "/outbox", "text/html")
	if page.status != http.StatusOK || !strings.Contains(page.body, "50 shown of 120 rows") || !strings.Contains(page.body, "row-50<") || strings.Contains(page.body, "row-51<") {
		t.Errorf("%d\n%s", page.status, page.body)
	}
	if next := r.get("otto", "/outbox?after=50", ""); !strings.Contains(next.body, "row-51<") || !strings.Contains(next.body, "oldest") {
		t.Errorf("%s", next.body)
	}
	asked := r.post("otto", "/outbox/choose", "", "action", "retry-all", "failed", "HEADER block", "source", "lab-1")
	if asked.status != http.StatusOK || !strings.Contains(asked.body, "Retry 30 failed rows?") || !strings.Contains(asked.body, "source lab-1, failed with &#34;HEADER block&#34;") {
		t.Fatalf("%d\n%s", asked.status, asked.body)
	}
	form := hidden(t, asked.body, "../outbox/failed")
	if got := r.post("otto", "/outbox/failed", "", form...); got.status != http.StatusUnprocessableEntity {
		t.Errorf("without a reason: %d\n%s", got.status, got.body)
	}
	form = append(form, "reason", "the header was mended")
	done := r.post("otto", "/outbox/failed", "", form...)
	if done.status != http.StatusSeeOther || done.header.Get("Location") != "../outbox?done=put-back&failed=HEADER+block&source=lab-1" {
		t.Fatalf("%d %v\n%s", done.status, done.header, done.body)
	}
	if twice := r.post("otto", "/outbox/failed", "", form...); twice.status != http.StatusConflict || !strings.Contains(twice.body, "there are 0 now: nothing was done") {
		t.Errorf("%d\n%s", twice.status, twice.body)
	}
	if failed, back := countRows(t, db, "redox_outbox_failed"), countRows(t, db, "redox_outbox"); failed != 90 || back != 30 {
		t.Errorf("%d failed, %d put back", failed, back)
	}
	deeds := r.deeds()
	if len(deeds) != 1 || deeds[0].Action != audit.RowRetry || deeds[0].By != "otto" || deeds[0].Source != "lab-1" || deeds[0].Count != 30 || len(deeds[0].IDs["lab-1"]) != 30 || deeds[0].Reason != "the header was mended" || !strings.Contains(deeds[0].Detail, "console, from") {
		t.Fatalf("%+v", deeds)
	}
	for e, err := range audit.NewReader(r.js, "").List(t.Context(), audit.Query{}) {
		if must(t, err); e.Deed.Outcome != "" && (e.Deed.ID != deeds[0].ID || e.Deed.Outcome != audit.Done || e.Deed.Counts["put back"] != 30) {
			t.Errorf("%+v", e.Deed)
		}
	}
}

// Some are chosen one by one, as programs do, and discarded; what somebody else has taken meanwhile is told.
func TestConsole_DiscardsFailedRows(t *testing.T) {
	t.Parallel()
	r, db := withOutbox(t, 12, "clinic-a", "lab-1")
	r.get("otto", "/outbox", "text/html") // until the console runs
	rows := r.get("otto", "/outbox/failed?limit=5", asJSON)
	var first sqloutbox.FailedRow
	if err := json.NewDecoder(strings.NewReader(rows.body)).Decode(&first); err != nil || first.Seq != 1 || first.ID != "row-1" || strings.Count(rows.body, "\n") != 5 || !strings.Contains(rows.header.Get("Link"), "after=5&limit=5") {
		t.Errorf("%v %v\n%s", err, rows.header, rows.body)
	}
	asked := r.post("otto", "/outbox/choose", asJSON, "action", "discard", "chosen", "1", "chosen", "2", "chosen", "3", "source", "lab-1")
	var told struct{ Count, Through int64 }
	if err := json.Unmarshal([]byte(asked.body), &told); err != nil || told.Count != 3 || told.Through != 3 {
		t.Fatalf("%v %s", err, asked.body)
	}
	_, err := db.ExecContext(t.Context(), "DELETE FROM redox_outbox_failed WHERE seq = 2")
	must(t, err)
	got := r.post("otto", "/outbox/failed", asJSON, "action", "discard", "chosen", "1", "chosen", "2", "chosen", "3", "count", "3", "through", "3", "reason", "test data")
	if got.status != http.StatusOK || !strings.Contains(got.body, `"changed": 2`) || countRows(t, db, "redox_outbox_failed") != 9 || countRows(t, db, "redox_outbox") != 0 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if d := r.deeds(); len(d) != 1 || d[0].Action != audit.RowDiscard || d[0].Source != "clinic-a" || d[0].Filter != "" || len(d[0].IDs["clinic-a"]) != 2 {
		t.Errorf("%+v", d)
	}
	for _, bad := range [][]string{{"action", "export"}, {"action", "retry"}, {"action", "retry", "chosen", "x"}, {"action", "retry-all", "count", "1"}, {"action", "retry-all", "reason", "x"}} {
		if got := r.post("otto", "/outbox/failed", "", bad...); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%v: %d\n%s", bad, got.status, got.body)
		}
	}
}

// Who may do something to some sources does it to no row of another, and is told of none.
func TestConsole_FailedRowsOfSomeSources(t *testing.T) {
	t.Parallel()
	r, db := withOutbox(t, 30, "clinic-a", "lab-1", "lab-2")
	for _, path := range []string{"/outbox", "/outbox/failed"} {
		for _, accept := range []string{"text/html", asJSON} {
			if got := r.get("lisa", path, accept); got.status != http.StatusOK || strings.Contains(got.body, "clinic-a") {
				t.Errorf("%s: %d\n%s", path, got.status, got.body)
			}
		}
	}
	if got := r.post("lisa", "/outbox/choose", asJSON, "action", "retry-all"); !strings.Contains(got.body, `"count": 20`) {
		t.Errorf("%s", got.body)
	}
	for _, form := range [][]string{{"action", "retry", "chosen", "1"}, {"action", "retry", "chosen", "2", "chosen", "4"}, {"action", "discard-all", "source", "clinic-a"}} {
		if got := r.post("lisa", "/outbox/failed", "", append(form, "count", "30", "through", "30", "reason", "x")...); got.status != http.StatusForbidden {
			t.Errorf("%v: %d\n%s", form, got.status, got.body)
		}
	}
	if got := r.post("lisa", "/outbox/failed", "", "action", "discard-all", "count", "30", "through", "30", "reason", "x"); got.status != http.StatusSeeOther || countRows(t, db, "redox_outbox_failed") != 10 {
		t.Errorf("%d %d\n%s", got.status, countRows(t, db, "redox_outbox_failed"), got.body)
	}
}

// What the audit trail does not have is not done, and a database that is away is told without its address.
func TestConsole_FailedRowsWithoutTrailOrDatabase(t *testing.T) {
	t.Parallel()
	r, db := withOutbox(t, 10, "clinic-a")
	must(t, r.js.DeleteStream(t.Context(), "REDOX_AUDIT"))
	form := []string{"action", "discard-all", "count", "10", "through", "10", "reason", "x"}
	if got := r.post("otto", "/outbox/failed", "", form...); got.status != http.StatusServiceUnavailable || countRows(t, db, "redox_outbox_failed") != 10 {
		t.Errorf("without an audit trail: %d, %d rows\n%s", got.status, countRows(t, db, "redox_outbox_failed"), got.body)
	}
	must(t, db.Close())
	if got := r.get("otto", "/outbox", "text/html"); got.status != http.StatusOK || !strings.Contains(got.body, "does not answer as it should") {
		t.Errorf("%d\n%s", got.status, got.body)
	}
	for _, got := range []answer{r.get("otto", "/outbox/failed", asJSON), r.post("otto", "/outbox/failed", asJSON, form...)} {
		if got.status != http.StatusServiceUnavailable || strings.Contains(got.body, "sql") || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d %v %s", got.status, got.header, got.body)
		}
	}
	if got := newRig(t).post("otto", "/outbox/choose", "", "action", "retry-all"); got.status != http.StatusNotFound || !strings.Contains(got.body, "outbox.dsn") {
		t.Errorf("where there is none: %d\n%s", got.status, got.body)
	}
}

// A database that fails in the middle of a deed leaves an outcome that says how far it came.
func TestConsole_FailedRowsInPart(t *testing.T) {
	t.Parallel()
	r, db := withOutbox(t, 2500, "clinic-a")
	_, err := db.ExecContext(context.Background(), "CREATE TRIGGER refuse BEFORE DELETE ON redox_outbox_failed WHEN old.seq > 2000 BEGIN SELECT RAISE(ABORT, 'not now'); END")
	must(t, err)
	got := r.post("otto", "/outbox/failed", "", "action", "retry-all", "count", "2500", "through", "2500", "reason", "x")
	left, back := countRows(t, db, "redox_outbox_failed"), countRows(t, db, "redox_outbox")
	if got.status != http.StatusServiceUnavailable || left+back != 2500 || back < 1000 || !strings.Contains(got.body, fmt.Sprintf("%d,%03d rows changed before", back/1000, back%1000)) || strings.Contains(got.body, "not now") {
		t.Errorf("%d, %d failed, %d put back\n%s", got.status, left, back, got.body)
	}
	var outcome audit.Deed
	for e, err := range audit.NewReader(r.js, "").List(t.Context(), audit.Query{}) {
		if must(t, err); e.Deed.Outcome != "" {
			outcome = *e.Deed
		}
	}
	if outcome.Outcome != audit.Failed || outcome.Counts["put back"] != back || strings.Contains(outcome.Error, "not now") {
		t.Errorf("%+v", outcome)
	}
}

// A request that comes before Run has begun waits for it.
func TestConsole_WaitsForItsBeginning(t *testing.T) {
	t.Parallel()
	box, db := newOutbox(t, 3, "clinic-a")
	r := newRig(t)
	h, err := console.New(console.Config{JS: r.js, Guard: guard, Topology: topology.Topology{Registry: true}, Outbox: box, Database: db})
	must(t, err)
	r.handler = h
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { ended <- h.Run(ctx) })
	t.Cleanup(func() { cancel(); must(t, <-ended) })
	if got := r.post("otto", "/outbox/failed", "", "action", "discard-all", "count", "3", "through", "3", "reason", "x"); got.status != http.StatusSeeOther || countRows(t, db, "redox_outbox_failed") != 0 {
		t.Errorf("%d\n%s", got.status, got.body)
	}
}
