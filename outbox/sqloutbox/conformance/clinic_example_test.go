package conformance

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
)

// clinic is a service with a table of visits. What it tells Redox is committed with a visit or not at
// all, in the order of each patient.
type clinic struct {
	db  *sql.DB
	box *sqloutbox.Outbox
}

const schema = `CREATE TABLE visits (
	id text PRIMARY KEY, mrn text NOT NULL, bed text NOT NULL, state text NOT NULL, redox text NOT NULL DEFAULT 'not yet',
	EXCLUDE (bed WITH =) WHERE (state = 'Arrival')
)`

// ServeHTTP serves POST /<visit>/<state>?mrn=<patient>&bed=<bed>.
func (c *clinic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	visit, state, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	err := c.change(r.Context(), visit, state, r.URL.Query().Get("mrn"), r.URL.Query().Get("bed"))
	var taken *pgconn.PgError
	switch {
	case errors.As(err, &taken) && taken.Code == "23P01":
		http.Error(w, "somebody is in this bed", http.StatusConflict)
	case err != nil:
		http.Error(w, "try again", http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// change commits a visit and the message about it. NATS and Redox may be away.
func (c *clinic) change(ctx context.Context, visit, state, mrn, bed string) error {
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	body, err := json.Marshal(map[string]any{
		"Meta":    map[string]any{"DataModel": "PatientAdmin", "EventType": state, "Destinations": []any{map[string]any{"ID": "hospital"}}},
		"Patient": map[string]any{"Identifiers": []any{map[string]any{"ID": mrn, "IDType": "MR"}}},
	})
	if err != nil {
		return err
	}
	id := visit + "-" + state
	_, err = c.box.Enqueue(ctx, tx, outbox.Message{ID: id, Source: "clinic-a", OrderKey: mrn, Body: body, ReplyTo: contract.Prefix("").ReplySubject("clinic-a", id)})
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO visits (id, mrn, bed, state) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, redox = 'not yet'`, visit, mrn, bed, state); err != nil {
		return err // with its message
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	c.box.Kick() // the relay of this process looks at once
	return nil
}

// answers notes what became of the messages, until n have come, and returns it by visit.
func (c *clinic) answers(ctx context.Context, js jetstream.JetStream, n int) (map[string][]string, error) {
	replies, err := outbox.NewReplies(js, outbox.RepliesConfig{Source: "clinic-a"})
	if err != nil {
		return nil, err
	}
	became := map[string][]string{}
	for reply, err := range replies.All(ctx) {
		if err != nil {
			continue // it goes on when NATS is there
		}
		visit, state, _ := strings.Cut(reply.MessageID, "-")
		if _, err := c.db.ExecContext(ctx, "UPDATE visits SET redox = $3 WHERE id = $1 AND state = $2", visit, state, string(reply.Settlement)); err != nil {
			reply.Again(0)
			continue
		}
		became[visit] = append(became[visit], state+" "+string(reply.Settlement))
		if n--; n == 0 {
			break // a service goes on; this last reply comes again
		}
	}
	return became, ctx.Err()
}

// A clinic service with PostgreSQL: messages are committed with the patient's change, relayed to NATS in
// the order of each patient, and their answers come back into the table.
func Example_clinic() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	db, js, end := clinicWorld(ctx) // a database, NATS, a worker; elsewhere those of the configuration
	defer end()
	_, err := db.ExecContext(ctx, schema)
	must(err)
	secret := []byte("the text of the order secret's file")
	box, err := sqloutbox.New(sqloutbox.Postgres, sqloutbox.Config{OrderSecret: secret})
	must(err)
	_, err = box.Migrate(ctx, db, 0) // or `redoxworker outbox migrate`
	must(err)
	publisher, err := outbox.NewPublisher(js, outbox.PublisherConfig{OrderSecret: secret, ClaimCheck: true})
	must(err)
	relay, err := sqloutbox.NewRelay(box, db, publisher, sqloutbox.RelayConfig{}) // or `redoxworker outbox relay`
	must(err)

	c := &clinic{db, box}
	for _, path := range []string{"/1/Arrival?mrn=7&bed=A", "/2/Arrival?mrn=8&bed=A", "/1/Discharge?mrn=7&bed=A", "/2/Arrival?mrn=8&bed=A"} {
		answer := httptest.NewRecorder()
		c.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, path, nil))
		fmt.Println(path, answer.Code)
	}
	var group errgroup.Group
	group.Go(func() error { return relay.Run(ctx) })
	became, err := c.answers(ctx, js, 3)
	must(err)
	for _, visit := range []string{"1", "2"} {
		fmt.Println("visit", visit+":", strings.Join(became[visit], ", "))
	}
	var told int
	must(db.QueryRowContext(ctx, "SELECT count(*) FROM visits WHERE redox = 'delivered'").Scan(&told))
	fmt.Println(told, "visits are at Redox")
	stop()
	must(group.Wait())
	// Output:
	// /1/Arrival?mrn=7&bed=A 204
	// /2/Arrival?mrn=8&bed=A 409
	// /1/Discharge?mrn=7&bed=A 204
	// /2/Arrival?mrn=8&bed=A 204
	// visit 1: Arrival delivered, Discharge delivered
	// visit 2: Arrival delivered
	// 2 visits are at Redox
}

// clinicWorld is a database, NATS with its queue, and a worker whose far side takes everything.
func clinicWorld(ctx context.Context) (*sql.DB, jetstream.JetStream, func()) {
	_, err := postgres.root.ExecContext(ctx, "CREATE DATABASE clinic")
	must(err)
	db, err := sql.Open(postgres.driver, postgres.dsn("clinic"))
	must(err)
	dir, err := os.MkdirTemp("", "clinic")
	must(err)
	server, err := natsdev.Start(natsdev.Options{Dir: dir})
	must(err)
	conn, err := server.Connect()
	must(err)
	js, err := jetstream.New(conn)
	must(err)
	_, err = topology.Topology{}.Ensure(ctx, js)
	must(err)
	far := worker.DelivererFunc(func(context.Context, outbox.Message) (outbox.Answer, error) {
		return outbox.Answer{Status: http.StatusOK}, nil
	})
	w, err := worker.New(js, far, worker.Config{AllSources: true})
	must(err)
	working, stop := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return w.Run(working) })
	return db, js, func() {
		stop()
		must(group.Wait())
		must(db.Close())
		conn.Close()
		must(server.Shutdown())
		must(os.RemoveAll(dir))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
