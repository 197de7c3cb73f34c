package sqloutbox

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed migrations
var migrations embed.FS

// Migrations are the files that make and change the tables of a database, for those who run them
// with a tool of their own: NNNN_name.sql, in the order of their names, with the default names of
// the tables. The tool has to keep to itself which of them are done: `redoxworker outbox migrate` and
// [Outbox.Migrate] use a table of their own for that. d must be valid.
func Migrations(d Dialect) fs.FS {
	files, err := fs.Sub(migrations, "migrations/"+string(d))
	if err != nil {
		return embed.FS{} // of a dialect that is none
	}
	return files
}

// Migration is one step of the tables.
type Migration struct {
	// Version counts from 1.
	Version int `json:"version"`
	// Name is that of its file.
	Name string `json:"name"`
	// SQL is its text, with the names of the outbox's tables.
	SQL string `json:"-"`

	checksum string // of the text with the default names
}

// Migrations are all steps of this outbox, oldest first.
func (o *Outbox) Migrations() ([]Migration, error) {
	files := Migrations(o.dialect)
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	all := make([]Migration, len(names))
	for i, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		all[i] = Migration{Version: i + 1, Name: name, SQL: strings.ReplaceAll(string(text), defaultTable, o.table), checksum: hex.EncodeToString(sum[:])}
		if n, err := strconv.Atoi(name[:4]); err != nil || n != i+1 {
			return nil, fmt.Errorf("sqloutbox: the migrations have no number %d", i+1)
		}
	}
	return all, nil
}

// Migrate takes the steps that the database has not taken, up to a version, and returns them; to
// is 0 for all. Several processes may call it at once. On MySQL, which commits each change of a
// table by itself, a step that fails half way has to be undone by hand.
func (o *Outbox) Migrate(ctx context.Context, db *sql.DB, to int) (done []Migration, err error) {
	all, err := o.Migrations()
	if err != nil {
		return nil, err
	}
	if db == nil {
		return nil, errors.New("sqloutbox: Migrate needs a database")
	}
	if to < 0 || to > len(all) {
		return nil, fmt.Errorf("sqloutbox: there is no version %d of the tables: the newest is %d", to, len(all))
	}
	if to == 0 {
		to = len(all)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqloutbox: connect: %w", err)
	}
	defer func() { _ = conn.Close() }()
	unlock, err := o.lockMigration(ctx, conn)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock(err == nil)) }()
	taken, err := o.taken(ctx, conn, all)
	if err != nil {
		return nil, err
	}
	for _, m := range all[min(taken, to):to] {
		if err := o.take(ctx, conn, m); err != nil {
			return done, err
		}
		done = append(done, m)
	}
	return done, nil
}

// lockMigration keeps other processes from migrating, and makes the table of what is done. Where
// the database can, all steps are one transaction.
func (o *Outbox) lockMigration(ctx context.Context, conn *sql.Conn) (unlock func(ok bool) error, err error) {
	name := "'" + o.table + " migrate'"
	begin, end, undo := []string{"BEGIN", "SELECT pg_advisory_xact_lock(hashtextextended(" + name + ", 0))"}, "COMMIT", "ROLLBACK"
	switch o.dialect {
	case MySQL:
		if err := o.lockByName(ctx, conn, name); err != nil {
			return nil, err
		}
		begin, end, undo = nil, "DO release_lock("+name+")", "DO release_lock("+name+")"
	case SQLite:
		begin = []string{"BEGIN IMMEDIATE"}
	}
	unlock = func(ok bool) error {
		last := undo
		if ok {
			last = end
		}
		_, err := conn.ExecContext(context.WithoutCancel(ctx), last)
		return err
	}
	begin = append(begin, o.sql("CREATE TABLE IF NOT EXISTS redox_outbox_schema (version integer NOT NULL PRIMARY KEY, "+
		"checksum varchar(64) NOT NULL, taken_at varchar(40) NOT NULL)"))
	for i, text := range begin {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			if i > 0 || o.dialect == MySQL {
				_ = unlock(false)
			}
			return nil, fmt.Errorf("sqloutbox: migrate %s: %w", o.table, err)
		}
	}
	return unlock, nil
}

// lockByName takes a lock that belongs to the connection.
func (o *Outbox) lockByName(ctx context.Context, conn *sql.Conn, name string) error {
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT get_lock("+name+", 60)").Scan(&got); err != nil {
		return fmt.Errorf("sqloutbox: migrate %s: %w", o.table, err)
	}
	if got.Int64 != 1 {
		return fmt.Errorf("sqloutbox: migrate %s: another process has been at it for a minute: try again when it has ended", o.table)
	}
	return nil
}

// taken is the version that the tables have.
func (o *Outbox) taken(ctx context.Context, q querier, all []Migration) (int, error) {
	rows, err := q.QueryContext(ctx, o.sql("SELECT version, checksum FROM redox_outbox_schema ORDER BY version"))
	if err != nil {
		return 0, fmt.Errorf("sqloutbox: the tables of %s are missing or cannot be read; run `redoxworker outbox migrate`: %w", o.table, err)
	}
	defer func() { _ = rows.Close() }()
	version := 0
	for rows.Next() {
		var checksum string
		if err := rows.Scan(&version, &checksum); err != nil {
			return 0, err
		}
		switch {
		case version > len(all):
			return 0, fmt.Errorf("sqloutbox: the tables of %s have version %d, this program knows %d: update it", o.table, version, len(all))
		case version > 0 && all[version-1].checksum != checksum:
			return 0, fmt.Errorf("sqloutbox: version %d of the tables of %s was made by another text than this program's: compare with `redoxworker outbox migrate --print`", version, o.table)
		}
	}
	return version, rows.Err()
}

// querier is what reads: *sql.DB, *sql.Conn, *sql.Tx.
type querier interface {
	Execer
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// take runs the statements of one step.
func (o *Outbox) take(ctx context.Context, conn *sql.Conn, m Migration) error {
	for text := range strings.SplitSeq(m.SQL, ";\n") {
		if strings.TrimSpace(text) == "" {
			continue
		}
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("sqloutbox: migrate %s to version %d: %w", o.table, m.Version, err)
		}
	}
	_, err := conn.ExecContext(ctx, o.sql("INSERT INTO redox_outbox_schema (version, checksum, taken_at) VALUES (?, ?, "+o.dialect.stamp()+")"), m.Version, m.checksum)
	if err != nil {
		return fmt.Errorf("sqloutbox: migrate %s to version %d: %w", o.table, m.Version, err)
	}
	return nil
}

// stamp is the present time as text.
func (d Dialect) stamp() string {
	if d == SQLite {
		return "datetime()"
	}
	return "CAST(CURRENT_TIMESTAMP AS char(19))"
}
