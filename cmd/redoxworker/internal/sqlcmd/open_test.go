package sqlcmd

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/redoxworker/redoxworker/auth/secret"
	"github.com/redoxworker/redoxworker/config"
)

// The file is the one that is named, whatever its name has in it; one in memory is refused.
func TestOpen_SQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for dsn, file := range map[string]string{
		filepath.Join(dir, "a b.db"):                           "a b.db",
		filepath.Join(dir, "50%25#1.db"):                       "50%25#1.db",
		"file:" + filepath.Join(dir, "x%20y.db") + "?mode=rwc": "x y.db",
	} {
		db, err := Open(config.Outbox{Driver: config.DriverSQLite, DSN: secret.New(dsn)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (n integer)"); err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
	}
	for _, dsn := range []string{":memory:", "file::memory:?cache=shared", "file:x?mode=memory", "?_pragma=x", "x.db?%zz"} {
		if db, err := Open(config.Outbox{Driver: config.DriverSQLite, DSN: secret.New(dsn)}); err == nil {
			t.Errorf("%s was taken", dsn)
			_ = db.Close()
		}
	}
}

// What a server has set otherwise does not have a relay keep locks; what the data source says counts.
func TestMySQLConfig(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{"u:p@tcp(h)/db": "30", "u:p@tcp(h)/db?wait_timeout=90": "90"} {
		c, err := mysqlConfig(dsn)
		if err != nil || c.Params["autocommit"] != "1" || c.Params["wait_timeout"] != want {
			t.Errorf("%s: %v, %v", dsn, c, err)
		}
	}
}
