package sqloutbox_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// A file that cannot be written is found, statement by statement; in one that can, nothing changes.
func TestCheckRights_OfAFile(t *testing.T) {
	t.Parallel()
	file := "file:" + t.TempDir() + "/app.db"
	box, err := sqloutbox.New(sqloutbox.SQLite, sqloutbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := box.CheckRights(t.Context(), nil); err == nil {
		t.Error("no database")
	}
	for _, tt := range []struct {
		dsn     string
		refused int
	}{{file, 0}, {file + "?mode=ro", 7}} {
		db, err := sql.Open("sqlite", tt.dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if tt.refused == 0 {
			if _, err := box.Migrate(t.Context(), db, 0); err != nil {
				t.Fatal(err)
			}
		}
		err = box.CheckRights(t.Context(), db)
		if n := strings.Count(errText(err), "sqloutbox: try `"); n != tt.refused {
			t.Errorf("%s: %v", tt.dsn, err)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
