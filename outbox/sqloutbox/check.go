package sqloutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Check reports what of a database keeps the outbox from working: tables that are missing or of
// another version, a server that is too old, and settings with which the order of seq is not that
// of the commits, or with which bodies do not fit. It changes nothing.
func (o *Outbox) Check(ctx context.Context, db *sql.DB) error {
	if db == nil {
		return errors.New("sqloutbox: Check needs a database")
	}
	all, err := o.Migrations()
	if err != nil {
		return err
	}
	version, err := o.taken(ctx, db, all)
	if err != nil {
		return err
	}
	if version < len(all) {
		return fmt.Errorf("sqloutbox: the tables of %s have version %d of %d: run `redoxworker outbox migrate`", o.table, version, len(all))
	}
	switch o.dialect {
	case Postgres:
		return o.checkPostgres(ctx, db)
	case MySQL:
		return errors.Join(o.checkMySQL(ctx, db), o.checkIncrement(ctx, db))
	}
	return nil
}

// checkPostgres looks at the sequence: with a cache each connection draws from a block of its own.
func (o *Outbox) checkPostgres(ctx context.Context, db *sql.DB) error {
	var cache, increment int64
	err := db.QueryRowContext(ctx, "SELECT seqcache, seqincrement FROM pg_sequence WHERE seqrelid = CAST(pg_get_serial_sequence($1, 'seq') AS regclass)", o.table).Scan(&cache, &increment)
	switch {
	case err != nil:
		return fmt.Errorf("sqloutbox: look at the sequence of %s: %w", o.table, err)
	case cache != 1 || increment < 1:
		return fmt.Errorf("sqloutbox: the sequence of %s.seq has CACHE %d and INCREMENT %d, so that order is lost: run `ALTER TABLE %s ALTER COLUMN seq SET CACHE 1 SET INCREMENT 1` and connect anew",
			o.table, cache, increment, o.table)
	}
	return nil
}

func (o *Outbox) checkMySQL(ctx context.Context, db *sql.DB) error {
	var version string
	var packet, autocommit int64
	if err := db.QueryRowContext(ctx, "SELECT version(), @@max_allowed_packet, @@autocommit").Scan(&version, &packet, &autocommit); err != nil {
		return fmt.Errorf("sqloutbox: look at the server: %w", err)
	}
	var errs []error
	if autocommit == 0 {
		errs = append(errs, errors.New("sqloutbox: autocommit is off for this connection, with which a relay would keep locks that applications wait for: add autocommit=1 to the data source"))
	}
	version = strings.TrimPrefix(version, "5.5.5-") // which MariaDB may put in front, for old clients
	least := "8.0.16"
	if strings.Contains(version, "MariaDB") {
		least = "10.6"
	}
	if older(version, least) {
		errs = append(errs, fmt.Errorf("sqloutbox: the server is %.40s: relays need %s or newer, for SKIP LOCKED", version, least))
	}
	// Headers and the other columns take some kilobytes.
	if need := o.config.MaxBody + 64<<10; packet < need {
		errs = append(errs, fmt.Errorf("sqloutbox: max_allowed_packet of the server is %d bytes, bodies may have %d: set it to %d or more (SET GLOBAL max_allowed_packet = %d, and in its configuration), or lower MaxBody (redox.max_body)",
			packet, o.config.MaxBody, need, (need+1023)/1024*1024))
	}
	return errors.Join(errs...)
}

// checkIncrement refuses what several servers that all write set: their numbers are not in the
// order of their commits, and no lock is one for all of them.
func (o *Outbox) checkIncrement(ctx context.Context, db *sql.DB) error {
	var increment int64
	if err := db.QueryRowContext(ctx, "SELECT @@auto_increment_increment").Scan(&increment); err != nil {
		return fmt.Errorf("sqloutbox: look at the server: %w", err)
	}
	if increment != 1 {
		return fmt.Errorf("sqloutbox: auto_increment_increment is %d, as where several servers write (Galera, group replication): order cannot be kept there; write to one server and set it to 1", increment)
	}
	return nil
}

// older reports whether a version is less than another, by its numbers.
func older(version, least string) bool {
	have, want := strings.FieldsFunc(version, func(r rune) bool { return r == '.' || r == '-' }), strings.Split(least, ".")
	for i, w := range want {
		a, b := -1, 0
		if i < len(have) {
			a, _ = strconv.Atoi(have[i])
		}
		if b, _ = strconv.Atoi(w); a != b {
			return a < b
		}
	}
	return false
}
