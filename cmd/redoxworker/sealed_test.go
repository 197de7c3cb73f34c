package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// planted begins every identifier that this test plants.
const planted = "PLANTED-PATIENT-"

// canaries hands out identifiers, and looks for them.
type canaries struct {
	testing.TB
	mu      sync.Mutex
	n       int
	needles [][]byte
}

func newCanaries(t testing.TB) *canaries {
	c := &canaries{TB: t, needles: [][]byte{[]byte(planted)}}
	for shift := range 3 { // in base64, wherever it begins
		text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), planted...))
		c.needles = append(c.needles, []byte(text[shift+1:len(text)-4]))
	}
	return c
}

func (c *canaries) one() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return fmt.Sprintf("%s%05d", planted, c.n)
}

// some are n of them in one text.
func (c *canaries) some(n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(c.one() + " ")
	}
	return b.String()
}

// spread are n of them in a text of some megabytes.
func (c *canaries) spread(n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(c.some(1) + strings.Repeat("x", 20_000))
	}
	return b.String()
}

// in names the files below a folder, or the file, that hold any of them.
func (c *canaries) in(roots ...string) (found []string) {
	c.Helper()
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil // what is removed meanwhile holds nothing
			}
			text, err := os.ReadFile(path)
			if err == nil && c.inText(text) {
				found = append(found, path)
			}
			return nil
		})
		if err != nil {
			c.Fatal(err)
		}
	}
	return found
}

func (c *canaries) inText(text []byte) bool {
	for _, needle := range c.needles {
		if bytes.Contains(text, needle) {
			return true
		}
	}
	return false
}

// echoing is a Redox that answers with what it was sent, fails a first time, refuses, or does not answer, as the
// message says.
type echoing struct {
	sim  *redoxsim.Server
	mu   sync.Mutex
	seen map[string]int
	hang chan struct{}
}

func (e *echoing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/endpoint" && !strings.HasPrefix(r.URL.Path, "/fhir/") {
		e.sim.ServeHTTP(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body) // what is cut off is sent again
	e.mu.Lock()
	e.seen[string(body)]++
	n := e.seen[string(body)]
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case bytes.Contains(body, []byte(`"do":"hang"`)) && n == 1:
		<-e.hang
	case bytes.Contains(body, []byte(`"do":"retry"`)) && n == 1:
		w.WriteHeader(http.StatusServiceUnavailable)
	case bytes.Contains(body, []byte(`"do":"reject"`)):
		w.WriteHeader(http.StatusBadRequest)
	}
	w.Header().Set("Location", "Patient/"+planted)
	_, _ = fmt.Fprintf(w, `{"resourceType":"Bundle","Meta":{"DataModel":"PatientAdmin","EventType":"Arrival"},"Echo":%q}`, r.URL.String()+string(body))
}

// plantedBody is a message that holds identifiers.
func plantedBody(do, text string) []byte {
	return fmt.Appendf(nil, `{"Meta":{"DataModel":"PatientAdmin","EventType":"Arrival","Test":true,"Destinations":[{"ID":"af394f14-b34a-464f-8d24-895f370af4c9"}]},"do":%q,"Patient":{"Notes":%q}}`, do, text)
}

// sealedStage is a stage whose messages are sealed, unless there is no ring.
type sealedStage struct {
	*stage
	*canaries
	far  *echoing
	db   *sql.DB
	dir  string
	ring *seal.Ring
	pub  *outbox.Publisher
	box  *sqloutbox.Outbox
}

func newSealedStage(t *testing.T, sealed bool) *sealedStage {
	t.Helper()
	s := &sealedStage{canaries: newCanaries(t), far: &echoing{sim: &redoxsim.Server{}, seen: map[string]int{}, hang: make(chan struct{})}, dir: t.TempDir()}
	remote := httptest.NewServer(s.far)
	t.Cleanup(remote.Close)
	dsn := "file:" + filepath.Join(s.dir, "app.db") + "?_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)"
	extra := fmt.Sprintf("outbox: {driver: sqlite, dsn: %q}\nworker: {ack_wait: 3s}\n", dsn)
	if sealed {
		path := filepath.Join(t.TempDir(), "ring.json")
		ks, _ := seal.Keys{}.With(time.Now(), time.Now())
		if err := os.WriteFile(path, ks.Encode(), 0o600); err != nil {
			t.Fatal(err)
		}
		extra += fmt.Sprintf("seal: {ring_file: %q, require: true}\n", path)
		var err error
		if s.ring, err = seal.Open(path, seal.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	s.stage = newStage(t, s.far.sim, extra)
	s.reconfigure(s.stage.far, remote.URL)
	s.redoxworker("outbox", "migrate")
	var err error
	if s.db, err = sql.Open("sqlite", dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() })
	if s.box, err = sqloutbox.New(sqloutbox.SQLite, sqloutbox.Config{OrderSecret: []byte(orderSecret), Ring: s.ring}); err != nil {
		t.Fatal(err)
	}
	if s.pub, err = outbox.NewPublisher(s.js, outbox.PublisherConfig{OrderSecret: []byte(orderSecret), Ring: s.ring, ClaimCheck: true}); err != nil {
		t.Fatal(err)
	}
	return s
}

// redoxworker runs a command line in this process, and returns what it printed.
func (s *sealedStage) redoxworker(args ...string) string {
	s.stage.Helper()
	var out, errs output
	if code := run(context.Background(), cli.App{Args: append(args, "--config", s.config), Stdout: &out, Stderr: &errs, Stdin: strings.NewReader("")}); code != 0 {
		s.stage.Fatalf("%q: exit %d: %s", args, code, errs.String())
	}
	return out.String() + errs.String()
}

// send publishes n messages, and has them answered under durable subjects.
func (s *sealedStage) send(n int, id string, make func() outbox.Message) {
	s.stage.Helper()
	for i := range n {
		m := make()
		m.Source, m.ID = "clinic-a", fmt.Sprint(id, "-", i)
		if m.Lane != contract.LaneRequest {
			m.ReplyTo = "redox.reply.clinic-a." + m.ID
		}
		if _, err := s.pub.Publish(s.stage.Context(), m); err != nil {
			s.stage.Fatal(err)
		}
	}
}

// ask asks for one thing, and looks whether the answer has in it what was sent.
func (s *sealedStage) ask(m outbox.Message) {
	s.stage.Helper()
	m.Source = "clinic-a"
	r, err := s.pub.Request(s.stage.Context(), m)
	if err != nil || !r.OK() || !bytes.Contains(r.Body, []byte(planted)) {
		s.stage.Fatalf("%v, %v", r, err)
	}
}

// gateway asks the gateway over plain NATS, without a ring.
func (s *sealedStage) gateway(lane, text string, want string) {
	s.stage.Helper()
	msg := nats.NewMsg("redox.gateway.clinic-a." + lane)
	msg.Data = plantedBody("", text)
	got, err := s.js.Conn().RequestMsg(msg, 30*time.Second)
	if err != nil || !bytes.Contains(got.Data, []byte(want)) {
		s.stage.Fatalf("gateway %s: %v, %v", lane, got, err)
	}
}

// A thousand identifiers take every way that there is, through a crash too: none is found in a file of the NATS store, the
// database or an export, nor in a log.
func TestSealed_NoIdentifierRests(t *testing.T) {
	t.Parallel()
	s := newSealedStage(t, true)
	var logs []*binary
	begin := func() { logs = append(logs, s.start()) }
	clean := func(path string) {
		t.Helper()
		if found := s.in(s.store, s.dir); len(found) > 0 {
			t.Fatalf("after %s, identifiers are in %q", path, found)
		}
		for _, b := range logs {
			if s.inText([]byte(b.out.String() + b.err.String())) {
				t.Fatalf("after %s, identifiers are in the log", path)
			}
		}
	}
	begin()
	s.send(60, "send", func() outbox.Message { return outbox.Message{Body: plantedBody("", s.some(5))} })
	s.send(20, "ordered", func() outbox.Message { return outbox.Message{OrderKey: s.one(), Body: plantedBody("", s.some(4))} })
	s.drained()
	clean("send")
	s.send(10, "retry", func() outbox.Message { return outbox.Message{Body: plantedBody("retry", s.some(5))} })
	s.drained()
	clean("retry")
	for range 10 {
		s.ask(outbox.Message{Kind: outbox.KindFHIR, Path: "slug/Development/Patient?identifier=" + s.one(), Header: http.Header{"If-None-Match": {s.one()}}})
		s.gateway("send", s.some(5), `"stream":"REDOX_OUT"`)
		s.gateway("request", s.some(5), planted)
	}
	s.drained()
	clean("reply")
	s.ask(outbox.Message{Body: plantedBody("", s.spread(100))}) // 2 MB each way
	s.send(1, "claim", func() outbox.Message {
		return outbox.Message{Body: plantedBody("reject", s.spread(100))}
	})
	s.send(20, "reject", func() outbox.Message { return outbox.Message{Body: plantedBody("reject", s.some(5))} })
	s.drained()
	clean("claim check and dead letter")
	tx, err := s.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := s.box.Enqueue(t.Context(), tx, outbox.Message{Source: "clinic-a", OrderKey: s.one(), Body: plantedBody("", s.some(5))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	clean("enqueue")
	s.eventually("the outbox is empty", func() bool {
		var n int
		return s.db.QueryRow("SELECT count(*) FROM redox_outbox").Scan(&n) == nil && n == 0
	})
	s.drained()
	clean("outbox")
	s.send(10, "hang", func() outbox.Message { return outbox.Message{Body: plantedBody("hang", s.some(5))} })
	s.eventually("they are on their way", func() bool { s.far.mu.Lock(); defer s.far.mu.Unlock(); return s.far.hung() == 10 })
	if err := logs[0].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = logs[0].Wait() // it was killed
	close(s.far.hang)
	clean("crash")
	begin()
	s.redoxworker("dlq", "replay", "--force", "reject-0", "reject-1", "claim-0")
	edited := filepath.Join(t.TempDir(), "edited.json")
	if err := os.WriteFile(edited, plantedBody("reject", s.some(20)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.redoxworker("dlq", "edit", "--force", "--body", edited, "reject-2")
	s.drained()
	s.redoxworker("dlq", "export", "--out", filepath.Join(s.dir, "listed.ndjson"))
	s.redoxworker("dlq", "export", "--reveal", "--out", filepath.Join(s.dir, "sealed.ndjson"), "--set", "seal.ring_file=", "--set", "seal.require=false")
	s.redoxworker("dlq", "discard", "--force", "reject-3", "reject-4")
	s.redoxworker("dlq", "import", "--force", filepath.Join(s.dir, "sealed.ndjson"))
	s.redoxworker("seal", "rotate", "--after", "0s")
	s.redoxworker("seal", "rewrap", "--force")
	if text := s.redoxworker("dlq", "show", "reject-3") + s.redoxworker("find", "send-1", "--source", "clinic-a") + s.redoxworker("status"); s.inText([]byte(text)) {
		t.Error("a command shows what it should not")
	}
	if text := s.redoxworker("dlq", "show", "--reveal", "reject-3"); !s.inText([]byte(text)) {
		t.Error("the operator cannot read a dead letter")
	}
	clean("replay, edit, export, import and rotation")
	if err := s.nats.Shutdown(); err != nil {
		t.Error(err)
	}
	clean("all")
	if s.n < 1000 {
		t.Errorf("%d identifiers were planted, not 1,000", s.n)
	}
	t.Logf("%d identifiers planted, none found", s.n)
}

// hung is how many requests wait, or waited.
func (e *echoing) hung() (n int) {
	for body := range e.seen {
		if strings.Contains(body, `"do":"hang"`) {
			n++
		}
	}
	return n
}

// Without a ring, the search finds them: in the store, the database and the export.
func TestSealed_TheSearchFindsWhatIsNotSealed(t *testing.T) {
	t.Parallel()
	s := newSealedStage(t, false)
	w := s.run()
	s.send(1, "reject", func() outbox.Message { return outbox.Message{Body: plantedBody("reject", s.one())} })
	tx, err := s.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.box.Enqueue(t.Context(), tx, outbox.Message{Source: "clinic-a", Body: plantedBody("", s.one())}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	s.drained(w.err.String)
	s.redoxworker("dlq", "export", "--reveal", "--out", filepath.Join(s.dir, "open.ndjson"))
	if err := s.nats.Shutdown(); err != nil {
		t.Error(err)
	}
	if store, rest := s.in(s.store), s.in(s.dir); len(store) == 0 || len(rest) < 2 {
		t.Errorf("found in %q and %q", store, rest)
	}
}
