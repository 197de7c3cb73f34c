package conformance

import (
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	_ "modernc.org/sqlite"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/service"
)

// incident is something that goes wrong, and what tells of it.
type incident struct {
	name    string
	sources int    // 1 by default
	config  string // beside what every site has
	before  func(*site)
	happens func(*site)
	// shows is when the metrics have it.
	shows func(metrics) bool
	// grows is a counter that does so for as long as it lasts.
	grows string
	// fires are the alerts that it raises by then, and later those that it raises much later.
	fires []string
	later map[time.Duration][]string
	// also are alerts that may be raised beside them.
	also []string
}

func incidents() []incident {
	all := append(ofWorkers(), ofRedox()...)
	return append(append(append(all, ofTheQueue()...), ofTheSeal()...), ofTheOutbox())
}

func above(name string, than float64, labels ...string) func(metrics) bool {
	return func(m metrics) bool { return m.max(name, labels...) > than }
}

func ofWorkers() []incident {
	return []incident{{
		name:    "NATS is gone",
		happens: func(s *site) { s.must(s.nats.Shutdown()) },
		shows: func(m metrics) bool {
			return m.max("redoxworker_ready") == 0 && m.max("redoxworker_nats_connected") == 0
		},
		fires: []string{"RedoxworkerNoneReady", "RedoxworkerNotReady", "RedoxworkerNATSAway"},
		also:  []string{"RedoxworkerProblems"},
	}, {
		name:    "a stream is deleted",
		happens: func(s *site) { s.must(s.js.DeleteStream(s.Context(), "REDOX_DLQ")) },
		shows:   above("redoxworker_problems", 0),
		fires:   []string{"RedoxworkerProblems"},
	}, {
		name: "NATS stands still for longer than a lease", config: "worker: {ack_wait: 1s}",
		happens: func(s *site) {
			s.must(s.sim.SetProfile("hang"))
			s.publish("clinic-a", 1)
			s.shows("in flight", above("redoxworker_in_flight", 0))
			s.must(s.nats.Shutdown())
			s.shows("a lease lost", above("redoxworker_leases_lost_total", 0))
			s.restartNATS()
			s.shows("ready again", above("redoxworker_ready", 0))
		},
		shows: above("redoxworker_leases_lost_total", 0),
		fires: []string{"RedoxworkerLeasesLost"},
		also:  []string{"RedoxworkerSettlesSlowly"},
	}, {
		name: "nothing can be settled",
		happens: func(s *site) {
			s.must(s.sim.SetProfile("rejected"))
			s.must(s.js.DeleteStream(s.Context(), "REDOX_DLQ"))
			s.publish("clinic-a", 1)
		},
		shows: above("redoxworker_settle_errors_total", 0),
		grows: "redoxworker_settle_errors_total",
		fires: []string{"RedoxworkerProblems", "RedoxworkerSettlesSlowly"},
	}, {
		name:    "two versions",
		happens: func(s *site) { s.work("v2.0.0") },
		shows:   func(m metrics) bool { return len(m) > 0 },
		later:   map[time.Duration][]string{70 * time.Minute: {"RedoxworkerVersionsDiffer"}},
	}, {
		name:    "a file of sources is wrong",
		happens: func(s *site) { s.write("sources.d/more.yaml", "sources: {clinic-x: {id: nonsense, key: main}}\n") },
		shows:   above("redoxworker_sources", 0, `state="refused"`),
		fires:   []string{"RedoxworkerSourcesRefused"},
		also:    []string{"RedoxworkerProblems"},
	}}
}

func ofRedox() []incident {
	fail := func(sources int) func(*site) {
		return func(s *site) {
			for n := range sources {
				s.failing.Store(sourceID(n), http.StatusServiceUnavailable)
				s.publish(sourceName(n), 6)
			}
		}
	}
	return []incident{{
		name:    "the key is refused",
		happens: func(s *site) { s.must(s.sim.SetProfile("unauthorized")); s.publish("clinic-a", 1) },
		shows: func(m metrics) bool {
			return m.max("redoxworker_auth_usable") == 0 && m.max("redoxworker_source_oldest_seconds", `source="clinic-a"`) > 0
		},
		fires: []string{"RedoxworkerKeyUnusable"},
		later: map[time.Duration][]string{30 * time.Minute: {"RedoxworkerKeyUnusable", "RedoxworkerSourceOld"}},
	}, {
		name: "the clock is wrong", before: func(s *site) { s.skew.Store(int64(2 * time.Minute)) },
		shows: func(m metrics) bool { return m.min("redoxworker_auth_clock_skew_seconds") < -60 },
		fires: []string{"RedoxworkerClockWrong"},
	}, {
		name: "Redox is down", sources: 2, happens: fail(2),
		shows: above("redoxworker_paused", 0, `kind="host"`),
		fires: []string{"RedoxworkerRedoxDown"},
		also:  []string{"RedoxworkerSourcePaused"},
	}, {
		name: "one source fails", sources: 2,
		before:  func(s *site) { s.publish("clinic-b", 20) },
		happens: fail(1),
		shows:   above("redoxworker_paused_scopes", 0, `kind="source"`),
		fires:   []string{"RedoxworkerSourcePaused"},
	}, {
		name: "many sources fail, though another's messages are taken", sources: 12,
		before: func(s *site) { s.turns = make(chan struct{}); s.traffic("clinic-l") },
		happens: func(s *site) {
			for n := range 11 {
				s.failing.Store(sourceID(n), http.StatusServiceUnavailable)
				s.publish(sourceName(n), 6)
				s.shows("one more is paused", above("redoxworker_paused_scopes", float64(n), `kind="source"`))
			}
		},
		shows: above("redoxworker_paused_scopes", 10, `kind="source"`),
		fires: []string{"RedoxworkerManySourcesPaused", "RedoxworkerSourcePaused"},
	}, {
		name:    "a sign-in page answers",
		happens: func(s *site) { s.must(s.sim.SetProfile("sign-in")); s.publish("clinic-a", 1) },
		shows:   above("redoxworker_redox_foreign_answers_total", 0),
		fires:   []string{"RedoxworkerForeignAnswers"},
	}, {
		name: "the limit is used up", config: "quota: {requests: 20, per: 10m}",
		happens: func(s *site) { s.publish("clinic-a", 60) },
		shows:   above("redoxworker_quota_waiting", 0),
		later:   map[time.Duration][]string{40 * time.Minute: {"RedoxworkerQuotaUsed"}},
		also:    []string{"RedoxworkerSourceOld"},
	}, {
		name: "what workers share is gone", config: "quota: {requests: 100, per: 10s}",
		happens: func(s *site) {
			s.must(s.js.DeleteStream(s.Context(), "KV_REDOX_STATE"))
			s.publish("clinic-a", 60)
		},
		shows: above("redoxworker_quota_alone", 0),
		fires: []string{"RedoxworkerProblems", "RedoxworkerQuotaAlone"},
	}}
}

func ofTheQueue() []incident {
	return []incident{{
		name: "nobody serves a source, and a subject is misspelt",
		happens: func(s *site) {
			s.publish("clinic-z", 2)
			_, err := s.js.PublishMsg(s.Context(), &nats.Msg{Subject: "redox.out.clinic-a.sent", Data: []byte("{}")})
			s.must(err)
		},
		shows: func(m metrics) bool {
			return m.max("redoxworker_queue_unserved_messages") == 2 && m.max("redoxworker_queue_astray_messages") == 1 && m.max("redoxworker_queue_oldest_seconds") > 0
		},
		fires: []string{"RedoxworkerAstray", "RedoxworkerUnserved"},
		later: map[time.Duration][]string{
			70 * time.Minute: {"RedoxworkerAstray", "RedoxworkerQueueOld", "RedoxworkerUnserved"},
		},
	}, {
		name: "a source is paused by an operator, and the queue fills", config: "queue: {max_bytes: 100000}",
		happens: func(s *site) {
			s.must(worker.NewPauses(s.js, "", "ann@ops").Pause(s.Context(), "clinic-a", 0, "the hospital moves"))
			s.shows("paused", above("redoxworker_paused", 0, `kind="operator"`))
			for p := s.bare(); s.filled() < 0.85; {
				_, err := p.Publish(s.Context(), outbox.Message{Source: "clinic-a", Body: s.body("a hospital")})
				s.must(err)
			}
		},
		shows: func(m metrics) bool {
			return m.max("redoxworker_stream_bytes", `stream="REDOX_OUT"`) > 85_000 && m.max("redoxworker_source_oldest_seconds", `source="clinic-a"`) > 0
		},
		fires: []string{"RedoxworkerStreamFills"},
		later: map[time.Duration][]string{70 * time.Minute: {"RedoxworkerQueueOld", "RedoxworkerStreamFills"}}, // nobody is surprised by the source
	}, {
		name: "the audit trail cannot be written", config: "audit: {file: /dev/full}",
		happens: func(s *site) { s.publish("clinic-a", 1) },
		shows:   above("redoxworker_audit_errors_total", 0),
		fires:   []string{"RedoxworkerAuditFails"},
		also:    []string{"RedoxworkerSettlesSlowly", "RedoxworkerProblems"},
	}, {
		name:    "messages are rejected",
		happens: func(s *site) { s.must(s.sim.SetProfile("rejected")); s.publish("clinic-a", 2) },
		shows: func(m metrics) bool {
			return m.max("redoxworker_settled_total", `settlement="rejected"`, `source="clinic-a"`) == 2 && m.max("redoxworker_dead_letters_oldest_seconds") > 0 &&
				m.max("redoxworker_queue_oldest_seconds") == 0 && m.max("redoxworker_source_oldest_seconds") == 0
		},
		fires: []string{"RedoxworkerDeadLetters"},
		later: map[time.Duration][]string{25 * time.Hour: {"RedoxworkerDeadLettersWait"}},
	}}
}

func ofTheOutbox() incident {
	return incident{
		name: "the queue refuses the outbox, and one of its rows is damaged", config: "queue: {max_msgs: 1}\noutbox: {driver: sqlite, dsn: outbox.db}",
		before: func(s *site) {
			s.publish("clinic-z", 1) // which nobody takes
			box := s.openOutbox()
			tx, err := s.db.BeginTx(s.Context(), nil)
			s.must(err)
			_, err = box.Enqueue(s.Context(), tx, outbox.Message{ID: "good", Source: "clinic-a", Body: s.body("a")}, outbox.Message{ID: "bad", Source: "clinic-b", Body: s.body("a")})
			s.must(err)
			_, err = tx.ExecContext(s.Context(), "UPDATE redox_outbox SET message = x'00' WHERE id = 'bad'")
			s.must(err)
			s.must(tx.Commit())
		},
		shows: func(m metrics) bool {
			return m.max("redoxworker_outbox_lag_seconds") > 0 && m.max("redoxworker_outbox_failed") > 0
		},
		fires: []string{"RedoxworkerOutboxFailed", "RedoxworkerOutboxLags", "RedoxworkerUnserved"},
		also:  []string{"RedoxworkerProblems"},
	}
}

// openOutbox makes the tables of the configured SQL outbox.
func (s *site) openOutbox() *sqloutbox.Outbox {
	s.Helper()
	var err error
	s.db, err = sql.Open("sqlite", "file:"+filepath.Join(s.dir, "outbox.db")+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	s.must(err)
	s.Cleanup(func() { _ = s.db.Close() })
	c := s.load()
	box, err := service.NewOutbox(&c, nil)
	s.must(err)
	_, err = box.Migrate(s.Context(), s.db, 0)
	s.must(err)
	return box
}

// traffic publishes messages of a source until the test ends.
func (s *site) traffic(source string) {
	p, body, tick := s.bare(), s.body(source), time.NewTicker(20*time.Millisecond)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range tick.C {
			if _, err := p.Publish(s.Context(), outbox.Message{Source: source, Body: body}); err != nil {
				return // the test ends
			}
		}
	}()
	s.Cleanup(func() { <-ended; tick.Stop() })
}

// bare publishes what the worker is not to be asked about.
func (s *site) bare() *outbox.Publisher {
	p, err := outbox.NewPublisher(s.js, outbox.PublisherConfig{})
	s.must(err)
	return p
}

// filled is what part of the queue is used.
func (s *site) filled() float64 {
	stream, err := s.js.Stream(s.Context(), "REDOX_OUT")
	s.must(err)
	info := stream.CachedInfo()
	return float64(info.State.Bytes) / float64(info.Config.MaxBytes)
}

// restartNATS starts the server again where it was.
func (s *site) restartNATS() {
	server, err := natsdev.Start(natsdev.Options{Dir: filepath.Join(s.dir, "nats"), Port: s.port})
	if err != nil {
		s.Fatal(fmt.Errorf("starting NATS again: %w", err))
	}
	s.nats = server
	s.Cleanup(func() { _ = server.Shutdown() })
}
