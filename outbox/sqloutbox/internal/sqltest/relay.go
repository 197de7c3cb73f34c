package sqltest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// Relay tests what a relay does, some tests side by side: most of them wait.
func (s Server) Relay(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"like a publisher", s.likeAPublisher},
		{"failed rows", s.failedRows},
		{"failed rows hold", s.failedRowsHold},
		{"many failed rows", s.manyFailedRows},
		{"a source is refused", s.sourceRefused},
		{"many sources are refused", s.manyRefused},
		{"what Lint refuses", s.unfit},
		{"no room for bodies", s.noRoomForBodies},
		{"large and far away", s.largeAndFar},
		{"a source floods", s.sourceFloods},
		{"NATS away and full", s.natsAway},
		{"late repeats", s.lateRepeats},
		{"deletes fail", s.deletesFail},
		{"what fails is tried less often", s.failsLessOften},
		{"stops", s.stops},
		{"what was not published is not late", s.notPublished},
		{"what was refused is not late", s.refusedIsNotLate},
		{"status", s.status},
		{"sealed", s.sealed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t)
		})
	}
}

// likeAPublisher: what arrives is what a Publisher would have stored.
func (s Server) likeAPublisher(t *testing.T) {
	r := s.New(t, sqloutbox.Config{}).Provision()
	messages := []outbox.Message{
		Ordered("clinic-a", "MRN 1", 1),
		{Source: "clinic-a", Lane: contract.LaneRequest, Body: []byte(`{"a":"\r\n\r\n"}`), ReplyTo: "redox.reply.clinic-a.x"},
		{Source: "clinic-b", Kind: outbox.KindFHIR, Method: "PUT", Path: "x/Development/Patient/1", Body: []byte("{}"), Deadline: time.Now().Add(time.Hour).UTC(),
			Header: map[string][]string{"Prefer": {"return=minimal"}}, TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		{Source: "clinic-b", Kind: outbox.KindFHIR, Path: "x/Development/Patient?_id=1", PossibleDuplicate: true},
	}
	publisher, err := outbox.NewPublisher(r.JS, outbox.PublisherConfig{OrderSecret: []byte(Secret)})
	r.Must(err)
	stored := map[string]nats.Header{}
	for i := range messages {
		messages[i].ID = fmt.Sprint("direct-", i)
		_, err := publisher.Publish(r.Ctx(), messages[i])
		r.Must(err)
		messages[i].ID = fmt.Sprint("outbox-", i)
	}
	r.Commit(messages...)
	r.Relay(sqloutbox.RelayConfig{})
	r.Empty()
	stream, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
	r.Must(err)
	bodies := map[string]string{}
	for seq := uint64(1); seq <= uint64(2*len(messages)); seq++ {
		msg, err := stream.GetMsg(r.Ctx(), seq)
		r.Must(err)
		way, n, _ := strings.Cut(msg.Header.Get("Redox-Message-Id"), "-")
		msg.Header.Del("Redox-Message-Id")
		msg.Header.Del("Nats-Msg-Id")
		msg.Header.Set("subject", msg.Subject)
		if way == "direct" {
			stored[n], bodies[n] = msg.Header, string(msg.Data)
			continue
		}
		if !maps.EqualFunc(stored[n], msg.Header, slices.Equal) || bodies[n] != string(msg.Data) {
			t.Errorf("message %s: %v, published directly %v", n, msg.Header, stored[n])
		}
	}
}

// byHand writes a row as another language would.
func (r *Rig) byHand(id, source, token, message string) {
	r.Helper()
	text := "INSERT INTO redox_outbox (id, source, token, message) VALUES (?, ?, ?, ?)"
	if r.Database.Dialect == sqloutbox.Postgres {
		text = "INSERT INTO redox_outbox (id, source, token, message) VALUES ($1, $2, $3, $4)"
	}
	r.Exec(text, id, source, token, []byte(message))
}

// failedRows: what can never be published holds nobody up.
func (s Server) failedRows(t *testing.T) {
	r := s.New(t, sqloutbox.Config{}).Provision()
	const token = "0af7651916cd43dd8448eb211c80319c"
	r.byHand("bad", "clinic-a", token, "no header block")
	r.byHand("worse", "clinic-a", "", "NATS/1.0\r\nRedox-Kind: fax\r\n\r\n{}")
	r.byHand("good", "clinic-a", token, "NATS/1.0\r\n\r\n{}")
	relay, _ := r.Relay(sqloutbox.RelayConfig{})
	r.Empty()
	if all := r.Queued(); len(all) != 1 || all[0].ID != "good" {
		t.Errorf("queued %v", all)
	}
	rows, err := r.Box.Failed(r.Ctx(), r.DB, 0)
	r.Must(err)
	if len(rows) != 2 || rows[0].ID != "bad" || !rows[0].Ordered || !strings.Contains(rows[1].Failed, "Redox-Kind") || time.Since(rows[0].FailedAt).Abs() > time.Hour {
		t.Errorf("failed rows %+v", rows)
	}
	r.Must(r.Box.Retry(r.Ctx(), r.DB, "", "worse")) // it fails again
	r.Until("the row fails again", func() bool { return relay.Stats().Failed == 3 })
	r.Must(r.Box.Discard(r.Ctx(), r.DB, "", "bad"))
	if err := r.Box.Discard(r.Ctx(), r.DB, "", "bad"); !errors.Is(err, sqloutbox.ErrNoFailedRow) {
		t.Errorf("discarded twice: %v", err)
	}
	for _, source := range []string{"clinic-a", "clinic-b"} { // an id is one of its source
		r.byHand("twin", source, token, "no header block")
	}
	r.Until("both fail", func() bool { return relay.Stats().Failed == 5 })
	if err := r.Box.Discard(r.Ctx(), r.DB, "", "twin"); !errors.Is(err, sqloutbox.ErrSeveralSources) {
		t.Errorf("an id of two sources: %v", err)
	}
	r.Must(r.Box.Discard(r.Ctx(), r.DB, "clinic-b", "twin"))
	if rows, err := r.Box.Failed(r.Ctx(), r.DB, 0); err != nil || len(rows) != 2 || rows[1].Source != "clinic-a" {
		t.Errorf("left are %+v, %v", rows, err)
	}
	r.Empty()
}

// failedRowsHold: behind a failed row its order key waits, and then goes on in its order.
func (s Server) failedRowsHold(t *testing.T) {
	r := s.New(t, sqloutbox.Config{}).Provision()
	const token = "0af7651916cd43dd8448eb211c80319c"
	r.byHand("m1", "clinic-a", token, "no header block")
	r.byHand("m2", "clinic-a", token, "NATS/1.0\r\n\r\n{}")
	relay, _ := r.Relay(sqloutbox.RelayConfig{HoldAfterFailed: true})
	r.Until("the row failed", func() bool { return relay.Stats().Failed == 1 })
	r.byHand("m3", "clinic-a", token, "NATS/1.0\r\n\r\n{}")
	r.Commit(Ordered("clinic-a", "another", 1), Ordered("clinic-b", "another", 1))
	r.Until("others go on", func() bool { return r.Count("redox_outbox") == 2 })
	text := "UPDATE redox_outbox_failed SET message = ?"
	if s.Dialect == sqloutbox.Postgres {
		text = "UPDATE redox_outbox_failed SET message = $1"
	}
	r.Exec(text, []byte("NATS/1.0\r\n\r\n{}"))
	r.Must(r.Box.Retry(r.Ctx(), r.DB, "", "m1"))
	r.Empty()
	var ids []string
	for _, m := range r.Queued() {
		if m.OrderToken == token {
			ids = append(ids, m.ID)
		}
	}
	if !slices.Equal(ids, []string{"m1", "m2", "m3"}) {
		t.Errorf("order %q", ids)
	}
}

// sourceFloods: a row of another source does not wait for the thousands before it in its lane.
func (s Server) sourceFloods(t *testing.T) {
	r := s.New(t, sqloutbox.Config{}).Provision()
	flood := make([]outbox.Message, 5000)
	for n := range flood {
		flood[n] = outbox.Message{Source: "flood", OrderToken: fmt.Sprintf("0%031x", n), Body: []byte("{}")}
	}
	r.Commit(flood...)
	r.Commit(outbox.Message{Source: "clinic-b", OrderToken: "0" + strings.Repeat("b", 31), Body: []byte("{}")})
	r.Relay(sqloutbox.RelayConfig{Batch: 256})
	r.Empty()
	all := r.Queued()
	at := slices.IndexFunc(all, func(m outbox.Message) bool { return m.Source == "clinic-b" })
	if len(all) != 5001 || at > 256 {
		t.Errorf("%d messages, that of another source is number %d", len(all), at)
	}
}

// natsAway: while NATS is away no transaction is open; while the queue is full all wait.
func (s Server) natsAway(t *testing.T) {
	r := s.New(t, sqloutbox.Config{}).Provision()
	relay, _ := r.Relay(sqloutbox.RelayConfig{})
	stream, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
	r.Must(err)
	full := stream.CachedInfo().Config
	full.MaxMsgs = 1
	_, err = r.JS.UpdateStream(r.Ctx(), full)
	r.Must(err)
	r.Commit(Ordered("clinic-a", "1", 1), Ordered("clinic-a", "1", 2), Ordered("clinic-b", "2", 1))
	r.Until("the queue is full", func() bool { return strings.Contains(relay.Stats().Trouble, "full") })
	_, err = topology.Topology{}.Ensure(r.Ctx(), r.JS)
	r.Must(err)
	full.MaxMsgs = -1
	_, err = r.JS.UpdateStream(r.Ctx(), full)
	r.Must(err)
	r.Empty()

	js := r.JS
	down, err := connect("nats://127.0.0.1:1")
	r.Must(err)
	defer down.Conn().Close()
	db := r.Open()
	away, err := newRelay(r.Box, db, down, sqloutbox.RelayConfig{}, outbox.PublisherConfig{})
	r.Must(err)
	r.Commit(Ordered("clinic-a", "1", 3))
	stop := r.run(away)
	r.Until("NATS is away", func() bool { return strings.Contains(away.Stats().Trouble, "not connected") })
	r.Until("no connection of the database is in use", func() bool { return db.Stats().InUse == 0 })
	stop()
	r.Empty()
	r.JS = js
	if n := len(r.Queued()); n != 4 {
		t.Errorf("%d messages", n)
	}
}

// SettleAll removes all messages of the queue, as workers do.
func (r *Rig) SettleAll() {
	r.Helper()
	r.Until("all is settled", func() bool {
		stream, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
		if err != nil {
			return false
		}
		return stream.Purge(r.Ctx(), jetstream.WithPurgeSubject("redox.out.>")) == nil
	})
}

// refuseDelete has every DELETE of a row fail until allow is called.
func (r *Rig) refuseDelete() (allow func()) {
	r.Helper()
	switch r.Database.Dialect {
	case sqloutbox.Postgres:
		r.Exec("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$")
		r.Exec("CREATE TRIGGER refuse BEFORE DELETE ON redox_outbox FOR EACH ROW EXECUTE FUNCTION refuse()")
		return func() { r.Exec("DROP TRIGGER refuse ON redox_outbox") }
	case sqloutbox.MySQL:
		r.Exec("CREATE TRIGGER refuse BEFORE DELETE ON redox_outbox FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not now'")
	default:
		r.Exec("CREATE TRIGGER refuse BEFORE DELETE ON redox_outbox BEGIN SELECT RAISE(ABORT, 'not now'); END")
	}
	return func() { r.Exec("DROP TRIGGER refuse") }
}

func (s Server) status(t *testing.T) {
	r := s.New(t, sqloutbox.Config{}).Provision()
	r.Commit(Ordered("clinic-a", "1", 1), Ordered("clinic-a", "2", 1))
	r.byHand("bad", "clinic-a", "", "no header block")
	status, err := r.Box.Status(r.Ctx(), r.DB)
	r.Must(err)
	if status.Rows != 3 || status.OldestSeconds < 0 || status.OldestSeconds > 3600 || len(status.Lanes) == 0 || len(status.Problems) != 0 {
		t.Errorf("%+v", status)
	}
	r.Relay(sqloutbox.RelayConfig{})
	r.Empty()
	status, err = r.Box.Status(r.Ctx(), r.DB)
	r.Must(err)
	if status.Rows != 0 || status.OldestSeconds != 0 || status.FailedRows != 1 || status.Failed[0].ID != "bad" || status.Lanes[0].Owner == "" {
		t.Errorf("%+v", status)
	}
}
