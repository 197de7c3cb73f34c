// Package sqltest has the tests of package sqloutbox that are the same on every database. Package
// sqloutbox runs them on SQLite, the module outbox/sqloutbox/conformance on PostgreSQL and MariaDB.
package sqltest
