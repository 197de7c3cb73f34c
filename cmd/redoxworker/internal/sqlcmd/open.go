// Package sqlcmd has the commands of the SQL outbox, and opens its database: the drivers are linked
// here and nowhere else.
package sqlcmd

import (
	"database/sql"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver called sqlite

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox/pgxtx"
)

// Listen hears of new rows, with outbox.notify.
var Listen sqloutbox.Listener = pgxtx.ListenDB

// Open opens the database of a configuration; nil where outbox.driver is not set. It does not
// connect.
func Open(c config.Outbox) (db *sql.DB, err error) {
	dsn := c.DSN.Reveal()
	switch c.Driver {
	case "":
		return nil, nil
	case config.DriverPostgres:
		db, err = openPostgres(dsn)
	case config.DriverMySQL:
		db, err = openMySQL(dsn)
	default:
		db, err = openSQLite(dsn)
	}
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(12) // one for a batch, one for notes, one that listens, some for sources that wait
	db.SetConnMaxLifetime(30 * time.Minute)
	db.SetConnMaxIdleTime(15 * time.Second)
	return db, nil
}

func openPostgres(dsn string) (*sql.DB, error) {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, unreadable(err)
	}
	return stdlib.OpenDB(*c), nil
}

func openMySQL(dsn string) (*sql.DB, error) {
	c, err := mysqlConfig(dsn)
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, unreadable(err)
	}
	return sql.OpenDB(connector), nil
}

func mysqlConfig(dsn string) (*mysql.Config, error) {
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, unreadable(err)
	}
	// A relay reads and writes beside its transactions, and a server that does not hear of a host
	// that is gone keeps its locks until then.
	for name, value := range map[string]string{"autocommit": "1", "wait_timeout": "30"} {
		if _, set := c.Params[name]; !set {
			if c.Params == nil {
				c.Params = map[string]string{}
			}
			c.Params[name] = value
		}
	}
	return c, nil
}

// unreadable says nothing of the text: a password may be in it, and the drivers show parts.
func unreadable(error) error {
	return config.Mistakef("outbox.dsn: cannot be read; write postgres://user:password@host:5432/db or user:password@tcp(host:3306)/db, with special characters of a PostgreSQL password percent-encoded")
}

func openSQLite(dsn string) (*sql.DB, error) {
	file, err := sqliteFile(dsn)
	if err != nil {
		return nil, err
	}
	return sql.Open("sqlite", file)
}

// sqliteFile is the data source of a file, which waits for other writers, and begins each
// transaction as a writer's. A name that begins with file: is a URI already.
func sqliteFile(name string) (string, error) {
	file, query, _ := strings.Cut(name, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", config.Mistakef("outbox.dsn: what is behind the ? cannot be read; write app.db or app.db?_pragma=busy_timeout(10000)")
	}
	uri, isURI := strings.CutPrefix(file, "file:")
	if !isURI {
		uri = strings.NewReplacer("%", "%25", "#", "%23").Replace(file)
	}
	if uri == "" || uri == ":memory:" || values.Get("mode") == "memory" {
		return "", config.Mistakef("outbox.dsn: names no file, and a database in memory is nobody else's; write the name of the application's file")
	}
	has := func(pragma string) bool { return strings.Contains(query, pragma) }
	if !has("busy_timeout") {
		values.Add("_pragma", "busy_timeout(10000)")
	}
	if !has("journal_mode") {
		values.Add("_pragma", "journal_mode(wal)")
	}
	if !has("_txlock") {
		values.Set("_txlock", "immediate")
	}
	return "file:" + uri + "?" + values.Encode(), nil
}
