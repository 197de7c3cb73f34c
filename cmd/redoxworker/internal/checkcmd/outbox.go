package checkcmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/sqlcmd"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/worker/service"
)

// horizonFails is the age at which a transaction that keeps the database from cleaning up is a
// fault: every relay round reads what it keeps.
const horizonFails = time.Hour

// checkDatabase looks at the SQL outbox, where there is one: connection, tables, rights, and what
// holds it back.
func checkDatabase(ctx context.Context, c *config.Config, r *report) {
	if c.Outbox.Driver == "" {
		return
	}
	box, err := service.NewOutbox(c, nil)
	if err != nil {
		r.faults(checkOutbox, err)
		return
	}
	db, err := sqlcmd.Open(c.Outbox)
	if err != nil {
		r.faults(checkOutbox, err)
		return
	}
	defer func() { _ = db.Close() }()
	if err := db.PingContext(ctx); err != nil {
		r.fault(checkOutbox, "outbox.dsn", "no connection: "+cause(ctx, err), "check the database's address, user and password, and that it runs")
		return
	}
	s, err := box.Status(ctx, db)
	for _, p := range s.Problems {
		text, mend := splitMend(p)
		r.fault(checkOutbox, c.Outbox.Table, text, mend)
	}
	if len(s.Problems) > 0 {
		return
	}
	if err != nil {
		r.fault(checkOutbox, c.Outbox.Table, cause(ctx, err), mendGrant)
		return
	}
	if err := box.CheckRights(ctx, db); err != nil {
		r.fault(checkOutbox, c.Outbox.Table, cause(ctx, err), mendGrant)
	}
	r.fine(checkOutbox, fmt.Sprintf("%s: %s waiting, tables and rights as they should be", c.Outbox.Driver, counted(int(s.Rows), "row", "rows")))
	waits(s, r)
}

const mendGrant = "let the user of outbox.dsn read, write and delete in the tables of the outbox"

// splitMend parts a problem of the outbox from the command that mends it, which may have the reason
// behind it. A right that lacks is mended by no migration.
func splitMend(problem string) (text, mend string) {
	for _, before := range []string{"; run `", ": run `"} {
		start := strings.Index(problem, before)
		if start < 0 {
			continue
		}
		end := start + len(before) + strings.IndexByte(problem[start+len(before):], '`') + 1
		text, mend = problem[:start], problem[start+2:end]
		if reason, ok := strings.CutPrefix(problem[end:], ": "); ok {
			text += ": " + reason
		} else {
			mend += problem[end:]
		}
		if strings.Contains(text, "denied") {
			mend = mendGrant
		}
		return text, mend
	}
	return problem, ""
}

// waits reports what keeps rows, or the database's cleaning, waiting.
func waits(s sqloutbox.Status, r *report) {
	if s.FailedRows > 0 {
		r.warn(checkOutbox, "", cli.Counted(uint64(s.FailedRows), "row")+" cannot be published", "see redoxworker outbox failed ls")
	}
	if s.HorizonPartial {
		r.unknown(checkOutbox, "", "whether transactions of other users keep the database from cleaning up is not known: this user sees its own alone", "GRANT pg_read_all_stats TO the user of outbox.dsn")
	}
	h := s.Horizon
	switch {
	case h == nil:
	case h.Slot != "":
		r.warn(checkOutbox, "slot "+h.Slot, "a replication slot that nobody reads keeps the database from cleaning up", "start its reader, or drop it: SELECT pg_drop_replication_slot('"+h.Slot+"')")
	default:
		report := r.warn
		age := time.Duration(h.AgeSeconds * float64(time.Second)).Round(time.Second)
		if age >= horizonFails {
			report = r.fault
		}
		report(checkOutbox, fmt.Sprintf("process %d", h.PID), fmt.Sprintf("its transaction, %v old, keeps the database from cleaning up: relaying becomes slower and slower", age),
			fmt.Sprintf("end it: SELECT pg_terminate_backend(%d)", h.PID))
	}
}

// cause is why something of the database failed, with the reason of the check's end if that was it.
func cause(ctx context.Context, err error) string {
	if ctx.Err() != nil && !errors.Is(err, context.Canceled) {
		return context.Cause(ctx).Error()
	}
	return err.Error()
}
