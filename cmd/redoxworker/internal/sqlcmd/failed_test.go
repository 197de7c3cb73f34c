package sqlcmd

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/redoxworker/redoxworker/auth/secret"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// As many ids as a command line takes are found, where a statement takes fewer.
func TestFailed_ManyIDs(t *testing.T) {
	t.Parallel()
	db, err := Open(config.Outbox{Driver: config.DriverSQLite, DSN: secret.New(filepath.Join(t.TempDir(), "app.db"))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	outbox, err := sqloutbox.New(sqloutbox.SQLite, sqloutbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outbox.Migrate(t.Context(), db, 0); err != nil {
		t.Fatal(err)
	}
	c := failedChoice{}
	for n := range 40_000 {
		c.IDs = append(c.IDs, fmt.Sprint("m-", n))
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO redox_outbox_failed (seq, id, source, token, request, lane, created, sealed, message, failed) VALUES (1, 'm-39999', 'clinic-a', '', 0, 0, 0, 0, 'x', 'no')"); err != nil {
		t.Fatal(err)
	}
	sources, err := c.sources(t.Context(), &box{Outbox: outbox, db: db})
	if err != nil || len(sources) != 1 || len(sources["m-39999"]) != 1 {
		t.Errorf("%v, %v", sources, err)
	}
}

// Whoever is interrupted says so once, and how far it came.
func TestFailed_Interrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	var out, errs bytes.Buffer
	change := failedChange{done: "deleted", one: func(ctx context.Context, _ *box, _, id string) error {
		if id == "m-2" {
			interrupt()
		}
		return ctx.Err()
	}}
	choice, sources := failedChoice{IDs: []string{"m-1", "m-2", "m-3", "m-4"}}, map[string][]string{}
	for _, id := range choice.IDs {
		sources[id] = []string{"clinic-a"}
	}
	done, err := choice.all(ctx, &cli.App{Stdout: &out, Stderr: &errs}, nil, change, sources)
	if done != 1 || err == nil || err.Error() != "interrupted: 1 of 4 rows were deleted" || out.String() != "m-1\tdeleted\n" || errs.Len() > 0 {
		t.Errorf("%d, %v, %q, %q", done, err, out.String(), errs.String())
	}
}
