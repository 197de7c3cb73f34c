package sqloutbox

import (
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Dialect is a kind of database.
type Dialect string

// The databases. The text is that of outbox.driver in the configuration.
const (
	// Postgres is PostgreSQL 12 or newer; the placeholders of the driver are $1, $2, ….
	Postgres Dialect = "postgres"
	// MySQL is MySQL 8.0.16 or newer and MariaDB 10.6 or newer; the placeholders are ?.
	MySQL Dialect = "mysql"
	// SQLite is SQLite 3.35 or newer; the placeholders are ?.
	SQLite Dialect = "sqlite"
)

// Validate reports whether d is a database that this package knows.
func (d Dialect) Validate() error {
	switch d {
	case Postgres, MySQL, SQLite:
		return nil
	}
	return fmt.Errorf("sqloutbox: dialect %.20q: use %s, %s or %s", string(d), Postgres, MySQL, SQLite)
}

const defaultTable = "redox_outbox"

// sql is a statement of this outbox: its text has ? for placeholders and the default names of
// the tables.
func (o *Outbox) sql(text string) string {
	if o.table != defaultTable {
		text = strings.ReplaceAll(text, defaultTable, o.table)
	}
	if o.dialect != Postgres {
		return text
	}
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(text, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		text = after
	}
}

// now is the database's own clock, in seconds since 1970.
func (d Dialect) now() string {
	switch d {
	case Postgres:
		return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"
	case MySQL:
		// From a local time it would be an hour off when summer ends.
		return "(timestampdiff(microsecond, '1970-01-01 00:00:00', utc_timestamp(6)) / 1e6)"
	}
	return "((julianday('now') - 2440587.5) * 86400.0)"
}

// seconds is a column of time in seconds since 1970.
func (d Dialect) seconds(column string) string {
	switch d {
	case Postgres:
		return "CAST(extract(epoch FROM " + column + ") AS double precision)"
	case MySQL:
		return "(unix_timestamp(" + column + ") + 0e0)"
	}
	return column
}

// bytes is the length of a column.
func (d Dialect) bytes(column string) string {
	if d == SQLite {
		return "length(" + column + ")"
	}
	return "octet_length(" + column + ")"
}

// locking is how a transaction begins that has the lock of a lane: it sees what was committed before that, and locks
// no gaps between rows, which those of other lanes stand in.
func (d Dialect) locking() *sql.TxOptions {
	if d == SQLite {
		return nil
	}
	return &sql.TxOptions{Isolation: sql.LevelReadCommitted}
}

// lateHead begins a packed message that says that Redox may get it twice, and lateHeader is what says so.
const (
	lateHead   = headLine + contract.HeaderPossibleDuplicate + ": true\r\n"
	lateHeader = "\r\n" + contract.HeaderPossibleDuplicate + ":"
)

// marked is the message of a row with that header besides; see pack.
func (d Dialect) marked() string {
	rest := fmt.Sprintf("substr(message, %d)", len(headLine)+1)
	switch d {
	case Postgres:
		return d.literal(lateHead) + " || " + rest
	case MySQL:
		return "concat(" + d.literal(lateHead) + ", " + rest + ")"
	}
	return "CAST(" + d.literal(lateHead) + " || " + rest + " AS blob)"
}

// unmarked is the condition that a message is a packed one, and does not have that header yet.
func (d Dialect) unmarked() string {
	begins := fmt.Sprintf("substr(message, 1, %d) = %s", len(headLine), d.literal(headLine))
	switch d {
	case Postgres:
		return begins + " AND position(" + d.literal(lateHeader) + " IN message) = 0"
	case MySQL:
		return begins + " AND locate(" + d.literal(lateHeader) + ", message) = 0"
	}
	return begins + " AND instr(message, " + d.literal(lateHeader) + ") = 0"
}

// literal is a constant of bytes.
func (d Dialect) literal(bytes string) string {
	if d == Postgres {
		return fmt.Sprintf("decode('%x', 'hex')", bytes)
	}
	return fmt.Sprintf("x'%x'", bytes)
}

// places is a list of n placeholders.
func places(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// padded is a list of values for IN whose length is a power of two, so that the statements of a
// database are few; the last value is repeated. values is not empty.
func padded[T any](values []T) []any {
	n := 1
	for n < len(values) {
		n *= 2
	}
	all := make([]any, n)
	for i := range all {
		all[i] = values[min(i, len(values)-1)]
	}
	return all
}
