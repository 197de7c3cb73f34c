// Package conformance runs the tests of package sqloutbox on PostgreSQL and MariaDB, which it starts
// itself, without fsync, and removes at the end. It is a module of its own, since it needs programs
// that `go test ./...` does not: .ci/run installs them. It fails where they are missing.
//
// PostgreSQL is looked for in PATH and in /usr/lib/postgresql, MariaDB in PATH and /usr/sbin.
// PostgreSQL refuses to run as root: it is then started as the user postgres or nobody.
package conformance
