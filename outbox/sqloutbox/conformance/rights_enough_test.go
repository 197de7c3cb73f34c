package conformance

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox/internal/sqltest"
)

// rights are those that the package's doc names.
var rights = map[string][]string{
	"app": {"INSERT ON redox_outbox", "SELECT, UPDATE ON redox_outbox_stripe"},
	"relay": {"SELECT, DELETE ON redox_outbox", "SELECT, INSERT, DELETE ON redox_outbox_failed", "SELECT, UPDATE ON redox_outbox_lane",
		"SELECT, INSERT, UPDATE, DELETE ON redox_outbox_try", "SELECT, UPDATE ON redox_outbox_stripe", "SELECT ON redox_outbox_schema"},
}

// An application and a relay need no more rights than the doc says; of a relay that has not got one,
// CheckRights finds which.
func TestRights(t *testing.T) {
	each(t, func(t *testing.T, s sqltest.Server) {
		r := s.New(t, sqloutbox.Config{}).Provision()
		as := func(who string) *sql.DB {
			t.Helper()
			user, dsn := "u_"+who+"_"+r.Database.DSN[strings.LastIndex(r.Database.DSN, "test"):], r.Database.DSN
			user, _, _ = strings.Cut(user, "?")
			on := ""
			if s.Dialect == sqloutbox.MySQL {
				on = "@localhost"
				dsn = strings.Replace(dsn, "root@", user+"@", 1)
			} else {
				dsn = strings.Replace(dsn, "test@", user+"@", 1)
			}
			r.Exec("CREATE USER " + user + on)
			if s.Dialect == sqloutbox.Postgres {
				r.Exec("ALTER USER " + user + " LOGIN")
			}
			for _, right := range rights[who] {
				if s.Dialect == sqloutbox.MySQL || !strings.Contains(right, "stripe") {
					r.Exec("GRANT " + right + " TO " + user + on)
				}
			}
			db, err := sql.Open(r.Database.Driver, dsn)
			r.Must(err)
			t.Cleanup(func() { _ = db.Close() })
			return db
		}
		all, app, relay := r.DB, as("app"), as("relay")
		r.DB = app
		r.Commit(sqltest.Ordered("clinic-a", "1", 1), sqltest.Ordered("clinic-a", "2", 1))
		if err := r.Box.CheckRights(r.Ctx(), app); err == nil || !strings.Contains(err.Error(), "redox_outbox_lane") {
			t.Errorf("an application is taken for a relay: %v", err)
		}
		r.Must(r.Box.Check(r.Ctx(), relay))
		r.Must(r.Box.CheckRights(r.Ctx(), relay))
		r.DB = relay
		running, _ := r.Relay(sqloutbox.RelayConfig{})
		r.Empty()
		if trouble := running.Stats().Trouble; trouble != "" {
			t.Error(trouble)
		}
		r.DB = all
	})
}
