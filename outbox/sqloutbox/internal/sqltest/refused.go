package sqltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// refusing is a configuration of NATS whose user some may not publish to a subject.
func refusing(t *testing.T, subject string) (file string) {
	file = filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(`jetstream {}
authorization { users: [
	{user: all, password: p}
	{user: some, password: p, permissions: {publish: {deny: "`+subject+`"}}}
]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// sourceRefused: NATS refuses one source; the others, however many, do not feel it.
func (s Server) sourceRefused(t *testing.T) {
	conf := refusing(t, "redox.out.bad.>")
	r := s.WithNATS(t, sqloutbox.Config{}, natsdev.Options{Dir: t.TempDir(), Port: -1, ConfigFile: conf}, nats.UserInfo("all", "p")).Provision()
	var ms []outbox.Message
	for n := range 10_000 { // all in the lane of the rows that are refused
		ms = append(ms, outbox.Message{Source: fmt.Sprintf("clinic-%d", n%5000), OrderToken: fmt.Sprintf("0%031x", n), Body: []byte("{}")})
	}
	r.Commit(outbox.Message{Source: "bad", OrderToken: "0" + strings.Repeat("a", 31), Body: []byte(`{"n":1}`)})
	r.Commit(ms[:5000]...)
	r.Commit(outbox.Message{Source: "bad", OrderToken: "0" + strings.Repeat("a", 31), Body: []byte(`{"n":2}`)})
	r.Commit(ms[5000:]...)
	relay, stop := r.RelayOn(r.Connect(nats.UserInfo("some", "p")), sqloutbox.RelayConfig{})
	r.Until("all other rows are published", func() bool { return r.Count("redox_outbox") == 2 })
	r.Until("the source waits", func() bool { return strings.Contains(relay.Stats().Waiting["bad"], "not permitted") })
	if s := relay.Stats(); s.Failed != 0 || s.Trouble != "" {
		t.Errorf("%d failed, trouble %q", s.Failed, s.Trouble)
	}
	began := time.Now()
	r.Commit(Ordered("clinic-1", "1", 1))
	r.Until("a row of another source", func() bool { return r.Count("redox_outbox") == 2 })
	t.Logf("beside a source that is refused a row took %v", time.Since(began))
	stop()
	r.Relay(sqloutbox.RelayConfig{}) // who may
	r.Empty()
	all := r.Queued()
	if n := len(all); n != 10_003 || string(all[n-1].Body) != `{"n":2}` || string(all[n-2].Body) != `{"n":1}` {
		t.Errorf("%d messages", n)
	}
}

// manyRefused: NATS refuses more sources than are published at once, and than a statement names, or, where
// there are several lanes, has room for in each of its parts; a row of another one is published nevertheless.
func (s Server) manyRefused(t *testing.T) {
	const refused = "0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	many := 2100
	if s.Dialect == sqloutbox.SQLite {
		many = 700
	}
	for _, test := range []struct{ sources, concurrency int }{{200, 64}, {many, 512}} {
		r := s.WithNATS(t, sqloutbox.Config{}, natsdev.Options{Dir: t.TempDir(), Port: -1, ConfigFile: refusing(t, "redox.out.*.send."+refused)}, nats.UserInfo("all", "p")).Provision()
		ms := make([]outbox.Message, test.sources)
		for n := range ms {
			ms[n] = outbox.Message{Source: fmt.Sprintf("clinic-%d", n), OrderToken: refused, Body: []byte("{}")}
		}
		other := outbox.Message{Source: "other", OrderToken: "0" + strings.Repeat("b", 31), Body: []byte("{}")}
		r.Commit(append(ms, other)...)
		relay, stop := r.RelayOn(r.Connect(nats.UserInfo("some", "p")), sqloutbox.RelayConfig{Batch: test.concurrency, Concurrency: test.concurrency})
		r.Until("the row of another source", func() bool { return r.Count("redox_outbox") == test.sources })
		r.Until("all others wait", func() bool { return len(relay.Stats().Waiting) == test.sources })
		r.Commit(other)
		r.Until("a row of another source", func() bool { return r.Count("redox_outbox") == test.sources })
		stop()
	}
}

// unfit: what the publisher's Lint refuses is a failed row, whose reason says nothing of the message.
func (s Server) unfit(t *testing.T) {
	r := s.New(t, sqloutbox.Config{}).Provision()
	r.Commit(outbox.Message{ID: "unfit", Source: "clinic-a", Body: []byte(`{"n":4711}`)}, outbox.Message{Source: "clinic-a", Body: []byte("{}")})
	relay, err := newRelay(r.Box, r.DB, r.JS, sqloutbox.RelayConfig{}, outbox.PublisherConfig{Lint: func(_ context.Context, m outbox.Message) error {
		if m.ID == "unfit" {
			return errors.New("patient 4711")
		}
		return nil
	}})
	r.Must(err)
	r.run(relay)
	r.Empty()
	rows, err := r.Box.Failed(r.Ctx(), r.DB, 0)
	r.Must(err)
	if len(rows) != 1 || rows[0].ID != "unfit" || !strings.Contains(rows[0].Failed, "Lint") || strings.Contains(rows[0].Failed, "4711") {
		t.Errorf("%+v", rows)
	}
}

// asks is a handler of logs that asks the relay how it is.
type asks struct {
	slog.Handler
	relay *sqloutbox.Relay
}

func (*asks) Enabled(context.Context, slog.Level) bool { return true }

func (a *asks) Handle(context.Context, slog.Record) error { a.relay.Stats(); return nil }

// noRoomForBodies: while the object store has no room for a body, rows without one go on.
func (s Server) noRoomForBodies(t *testing.T) {
	r := s.New(t, sqloutbox.Config{}).Provision()
	stream, err := r.JS.Stream(r.Ctx(), "OBJ_REDOX_BODIES")
	r.Must(err)
	cfg := stream.CachedInfo().Config
	cfg.MaxBytes = 1000
	_, err = r.JS.UpdateStream(r.Ctx(), cfg)
	r.Must(err)
	r.Commit(outbox.Message{Source: "clinic-a", Body: bytes.Repeat([]byte("1"), 2<<20)})
	log := &asks{Handler: slog.DiscardHandler}
	relay, err := newRelay(r.Box, r.DB, r.JS, sqloutbox.RelayConfig{Logger: slog.New(log)}, outbox.PublisherConfig{})
	r.Must(err)
	log.relay = relay
	r.run(relay)
	r.Until("the source waits", func() bool { return strings.Contains(relay.Stats().Waiting["clinic-a"], "full") })
	r.Commit(outbox.Message{Source: "clinic-b", Body: []byte("{}")})
	r.Until("a row of another source", func() bool { return r.Count("redox_outbox") == 1 })
	if trouble := relay.Stats().Trouble; trouble != "" {
		t.Errorf("trouble %q", trouble)
	}
	cfg.MaxBytes = -1
	_, err = r.JS.UpdateStream(r.Ctx(), cfg)
	r.Must(err)
	r.Empty()
}
