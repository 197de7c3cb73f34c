package sqltest

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// lateRepeats: a relay is killed between the confirmation and the DELETE.
func (s Server) lateRepeats(t *testing.T) {
	for _, test := range []struct {
		name    string
		restart bool
		late    sqloutbox.Late
		marked  bool
		held    int
		queued  int
	}{
		{"the same server", false, sqloutbox.LateResend, false, 0, 0},
		{"NATS restarted, resend", true, sqloutbox.LateResend, true, 0, 1},
		{"NATS restarted, hold", true, sqloutbox.LateHold, true, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := s.New(t, sqloutbox.Config{}).Provision()
			first := Ordered("clinic-a", "1", 1)
			first.Body = append(first.Body, "\x00\r\n\r\n\xff"...)
			r.Commit(first)
			allow := r.refuseDelete()
			p := r.start(Lanes)
			r.Until("the message is stored", func() bool { return len(r.Queued()) == 1 })
			p.kill()
			r.SettleAll()
			if test.restart {
				r.Must(r.NATS.Restart())
				r.Until("NATS is back", func() bool { return r.JS.Conn().IsConnected() })
			}
			allow()
			relay, _ := r.Relay(sqloutbox.RelayConfig{OnLate: test.late})
			r.Empty()
			queued := r.Queued()
			if len(queued) != test.queued || r.Count("redox_outbox_failed") != test.held || relay.Stats().Repeated != uint64(test.queued) {
				t.Errorf("%d queued, %d held, %d repeated", len(queued), r.Count("redox_outbox_failed"), relay.Stats().Repeated)
			}
			if test.held > 0 {
				r.Must(r.Box.Retry(r.Ctx(), r.DB, "", r.failedID()))
				r.Empty()
				if queued = r.Queued(); len(queued) != test.held {
					t.Errorf("%d of %d held are in the queue when they are retried", len(queued), test.held)
				}
			}
			for _, m := range queued {
				if m.PossibleDuplicate != test.marked || !bytes.Equal(m.Body, first.Body) {
					t.Errorf("marked as a possible duplicate: %v; its body %q", m.PossibleDuplicate, m.Body)
				}
			}
		})
	}
}

// failedID is the id of the first failed row.
func (r *Rig) failedID() string {
	r.Helper()
	rows, err := r.Box.Failed(r.Ctx(), r.DB, 1)
	r.Must(err)
	if len(rows) == 0 {
		r.Fatal("no row failed")
	}
	return rows[0].ID
}

// deletesFail: a relay that cannot delete what it has published remembers that it has.
func (s Server) deletesFail(t *testing.T) {
	r := s.New(t, sqloutbox.Config{}).Provision()
	r.Commit(Ordered("clinic-a", "1", 1))
	allow := r.refuseDelete()
	relay, _ := r.Relay(sqloutbox.RelayConfig{})
	r.Until("the DELETE failed", func() bool { return strings.Contains(relay.Stats().Trouble, "not now") })
	r.SettleAll()
	r.Must(r.NATS.Restart())
	r.Until("NATS is back", func() bool { return r.JS.Conn().IsConnected() })
	allow()
	r.Empty()
	if all := r.Queued(); len(all) != 1 || !all[0].PossibleDuplicate {
		t.Errorf("%d messages, %v", len(all), all)
	}
}

// failsLessOften: what fails is not tried again fifty times a second.
func (s Server) failsLessOften(t *testing.T) {
	const tries = 8
	r := s.New(t, sqloutbox.Config{}).Provision()
	r.Commit(outbox.Message{Source: "clinic-a", Body: []byte("{}")})
	allow := r.refuseDelete()
	asked := make(chan time.Time, tries)
	relay, err := newRelay(r.Box, r.DB, r.JS, sqloutbox.RelayConfig{}, outbox.PublisherConfig{Lint: func(context.Context, outbox.Message) error {
		select {
		case asked <- time.Now():
		default:
		}
		return nil
	}})
	r.Must(err)
	r.run(relay)
	first := <-asked
	for range tries - 2 {
		<-asked
	}
	if took := (<-asked).Sub(first); took < time.Second {
		t.Errorf("tried %d times in %v", tries, took)
	}
	allow()
	r.Empty()
}

// stops: a database that does not answer does not keep a relay from stopping.
func (s Server) stops(t *testing.T) {
	if s.Dialect == sqloutbox.SQLite {
		return // it has nothing that waits in a trigger
	}
	r := s.New(t, sqloutbox.Config{}).Provision()
	r.Commit(outbox.Message{Source: "clinic-a", Body: []byte("{}")})
	if s.Dialect == sqloutbox.Postgres {
		r.Exec("CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(100); RETURN OLD; END $$")
		r.Exec("CREATE TRIGGER hang BEFORE DELETE ON redox_outbox FOR EACH ROW EXECUTE FUNCTION hang()")
	} else {
		r.Exec("CREATE TRIGGER hang BEFORE DELETE ON redox_outbox FOR EACH ROW DO SLEEP(100)")
	}
	_, stop := r.Relay(sqloutbox.RelayConfig{})
	r.Until("the row is published, and deleted for ever", func() bool { return len(r.Queued()) == 1 })
	began := time.Now()
	if stop(); time.Since(began) > 40*time.Second {
		t.Errorf("it stopped after %v", time.Since(began))
	}
}

// notPublished: rows that waited behind a full queue are no repeats for the next relay, although NATS
// was restarted meanwhile.
func (s Server) notPublished(t *testing.T) {
	r := s.New(t, sqloutbox.Config{}).Provision()
	stream, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
	r.Must(err)
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgs = 1
	_, err = r.JS.UpdateStream(r.Ctx(), cfg)
	r.Must(err)
	for n := range 3 {
		r.Commit(Ordered("clinic-a", "1", n))
	}
	relay, stop := r.Relay(sqloutbox.RelayConfig{})
	r.Until("the queue is full", func() bool { return strings.Contains(relay.Stats().Trouble, "full") })
	stop()
	r.Must(r.NATS.Restart())
	r.Until("NATS is back", func() bool { return r.JS.Conn().IsConnected() })
	cfg.MaxMsgs = -1
	r.Until("the queue has room", func() bool { _, err := r.JS.UpdateStream(r.Ctx(), cfg); return err == nil })
	r.noneIsLate(3)
}

// noneIsLate relays the rest, and expects so many messages in the queue, none of which is held or marked.
func (r *Rig) noneIsLate(messages int) {
	r.Helper()
	relay, _ := r.Relay(sqloutbox.RelayConfig{OnLate: sqloutbox.LateHold})
	r.Empty()
	all := r.Queued()
	if late := slices.IndexFunc(all, func(m outbox.Message) bool { return m.PossibleDuplicate }); len(all) != messages || late >= 0 || relay.Stats().Failed > 0 {
		r.Errorf("%d messages, want %d; number %d is marked, %d are held", len(all), messages, late, relay.Stats().Failed)
	}
}

// refusedIsNotLate: a row that NATS has refused is surely not stored, whoever had its lane while it was tried.
func (s Server) refusedIsNotLate(t *testing.T) {
	conf := refusing(t, "redox.out.bad.>")
	r := s.WithNATS(t, sqloutbox.Config{}, natsdev.Options{Dir: t.TempDir(), Port: -1, ConfigFile: conf}, nats.UserInfo("all", "p")).Provision()
	inLane := func(source string, n int) outbox.Message {
		m := Ordered(source, "", n)
		m.OrderKey, m.OrderToken = "", "0"+strings.Repeat("a", 31)
		return m
	}
	r.Commit(inLane("bad", 0))
	_, stop := r.RelayOn(r.Connect(nats.UserInfo("some", "p")), sqloutbox.RelayConfig{})
	tried := func() int { return r.Count("redox_outbox_try WHERE source = 'bad'") }
	r.Until("the row is tried outside of its lane", func() bool { return tried() == 1 })
	r.Commit(inLane("clinic-a", 1))
	r.Until("the lane goes on meanwhile", func() bool { return r.Count("redox_outbox") == 1 })
	r.Until("the row is refused", func() bool { return tried() == 0 })
	stop()
	r.Must(r.NATS.Restart())
	r.Until("NATS is back", func() bool { return r.JS.Conn().IsConnected() })
	r.noneIsLate(2)
}
