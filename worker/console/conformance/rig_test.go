package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	_ "modernc.org/sqlite"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/console"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

// world is a console below a path of another mux, on a NATS server with something of everything.
type world struct {
	*testing.T
	js     jetstream.JetStream
	url    string // of the console, with a slash at its end
	tokens map[string]string
}

// token is the order token of the messages that wait behind one another.
const token = "0123456789abcdef0123456789abcdef"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1})
	must(t, err)
	t.Cleanup(func() { must(t, s.Shutdown()) })
	nc, err := s.Connect()
	must(t, err)
	t.Cleanup(nc.Close)
	w := &world{T: t, tokens: map[string]string{}}
	w.js, err = jetstream.New(nc)
	must(t, err)
	top := topology.Topology{Registry: true}
	_, err = top.Ensure(t.Context(), w.js)
	must(t, err)
	w.fill()
	box, db := w.outbox()
	hashes := map[string]string{}
	var rules []access.Rule
	for _, role := range access.Roles() {
		w.tokens[string(role)], hashes[string(role)] = access.NewToken()
		rules = append(rules, access.Rule{Role: role, Name: string(role), Sources: []string{"*"}})
	}
	w.tokens["nobody"], hashes["nobody"] = access.NewToken()
	tokens, err := access.NewTokens(hashes)
	must(t, err)
	g, err := access.New(access.Config{Tokens: tokens, Rules: rules})
	must(t, err)
	c, err := console.New(console.Config{JS: w.js, Guard: g.Wrap, Topology: top, Outbox: box, Database: db, Path: "/ops/redox", Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	must(t, err)
	mux := http.NewServeMux()
	mux.Handle("/ops/redox/", c)
	server := httptest.NewServer(mux)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-ended); server.Close() })
	w.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + "/ops/redox/"
	return w
}

// fill makes what the screens show: a queue, orders that wait, dead letters with a secret each.
func (w *world) fill() {
	w.Helper()
	for _, source := range []string{"clinic-a", "clinic-b"} {
		for i := range 3 {
			for _, subject := range []string{".send", ".send." + token} {
				m := nats.NewMsg("redox.out." + source + subject)
				m.Header.Set("Nats-Msg-Id", fmt.Sprint(source, subject, i))
				m.Data = []byte(`{"Meta":{"DataModel":"Order","EventType":"New"}}`)
				_, err := w.js.PublishMsg(w.Context(), m)
				must(w, err)
			}
		}
	}
	for i := range 12 {
		source := []string{"clinic-a", "clinic-b", "lab-with-a-rather-long-name"}[i%3]
		l := dlq.Letter{MessageID: fmt.Sprintf("0199-4c2e-7f3a-%04d", i), Source: source, Settlement: outbox.Rejected, Error: "status 400: Patient.Identifiers missing", Status: 400, Attempts: 1,
			At: time.Now().Add(-time.Duration(i) * time.Minute), Subject: "redox.out." + source + ".send", Sequence: uint64(i + 1), Worker: "worker-1", Header: map[string][]string{"X-Own": {secretOf(i)}},
			Body: fmt.Appendf(nil, `{"Meta":{"DataModel":"Order","EventType":"New"},"Patient":{"Identifiers":[{"ID":"%s","IDType":"MR"}]}}`, secretOf(i))}
		if i%4 == 3 {
			l.Status, l.Error, l.Settlement = 503, "status 503", outbox.Exhausted
		}
		_, err := w.js.PublishMsg(w.Context(), l.Encode(""))
		must(w, err)
	}
	_, err := dlq.NewHeldTokens(w.js, "").Hold(w.Context(), dlq.OrderPlace{Source: "clinic-b", Token: token, Position: 7, Sequence: 7})
	must(w, err)
}

// outbox is an SQL outbox with rows that could not be published.
func (w *world) outbox() (*sqloutbox.Outbox, *sql.DB) {
	w.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.TempDir(), "app.db")+"?_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)&_txlock=immediate")
	must(w, err)
	w.Cleanup(func() { _ = db.Close() })
	box, err := sqloutbox.New(sqloutbox.SQLite, sqloutbox.Config{})
	must(w, err)
	_, err = box.Migrate(w.Context(), db, 0)
	must(w, err)
	for i := range 7 {
		_, err := db.ExecContext(w.Context(), "INSERT INTO redox_outbox_failed (seq, id, source, token, request, lane, created, sealed, message, failed) VALUES (?, ?, ?, ?, 0, 0, 0, 0, ?, ?)",
			i+1, fmt.Sprintf("0199-row-%04d", i+1), []string{"clinic-a", "lab-with-a-rather-long-name"}[i%2], []string{"", token}[i%2], []byte(secretOf(i)), "the message breaks the contract: no header block")
		must(w, err)
	}
	return box, db
}

func secretOf(i int) string { return fmt.Sprintf("Planted%04dQz", i) }

// deeds are those in the audit trail.
func (w *world) deeds() (all []audit.Deed) {
	w.Helper()
	for e, err := range audit.NewReader(w.js, "").List(w.Context(), audit.Query{}) {
		must(w, err)
		if e.Deed != nil && e.Deed.Outcome == "" {
			all = append(all, *e.Deed)
		}
	}
	return all
}

// screenshots is a directory for pictures of the screens; none are made without it.
func screenshots() string { return os.Getenv("CONSOLE_SCREENSHOTS") }
