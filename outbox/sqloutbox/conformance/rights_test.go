package conformance

import (
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox/internal/sqltest"
)

// A user who lacks a right of a relay is found before a relay is, each right by itself, and what
// is tried leaves nothing behind.
func TestCheckRights(t *testing.T) {
	r := postgres.serving().New(t, sqloutbox.Config{})
	r.Commit(sqltest.Ordered("clinic-a", "1", 1))
	r.Must(r.Box.CheckRights(r.Ctx(), r.DB))
	r.DB.SetMaxOpenConns(1)
	r.Exec("CREATE ROLE reader")
	r.Exec("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
	r.Exec("SET ROLE reader")
	err := r.Box.CheckRights(r.Ctx(), r.DB)
	if err == nil || strings.Count(err.Error(), "permission denied for table ") != 7 {
		t.Errorf("a user who may only read: %v", err)
	}
	r.Exec("RESET ROLE")
	r.Exec("GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO reader")
	r.Exec("REVOKE INSERT ON redox_outbox_failed FROM reader")
	r.Exec("SET ROLE reader")
	err = r.Box.CheckRights(r.Ctx(), r.DB)
	if err == nil || strings.Count(err.Error(), "permission denied for table ") != 1 || !strings.Contains(err.Error(), "redox_outbox_failed") {
		t.Errorf("a user who may not keep failed rows: %v", err)
	}
	r.Exec("RESET ROLE")
	r.Exec("GRANT INSERT ON redox_outbox_failed TO reader")
	r.Exec("SET ROLE reader")
	r.Must(r.Box.CheckRights(r.Ctx(), r.DB))
	for role, partial := range map[string]bool{"RESET ROLE": false, "SET ROLE reader": true} {
		r.Exec(role)
		if s, err := r.Box.Status(r.Ctx(), r.DB); err != nil || s.HorizonPartial != partial {
			t.Errorf("%s: what is seen of others' transactions is a part: %v, %v", role, s.HorizonPartial, err)
		}
	}
	r.Exec("RESET ROLE")
	if n := r.Count("redox_outbox"); n != 1 {
		t.Errorf("%d rows are left of 1", n)
	}
	r.Exec("RESET ROLE")
	r.Exec("DROP OWNED BY reader")
	r.Exec("DROP ROLE reader")

	m := maria.serving().New(t, sqloutbox.Config{})
	m.Must(m.Box.CheckRights(m.Ctx(), m.DB))
}
