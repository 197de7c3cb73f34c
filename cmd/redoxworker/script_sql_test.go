package main

import (
	"database/sql"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// sqlCmd runs the statements of a file on a file of SQLite: sql FILE STATEMENTS.
func sqlCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "sql", neg, len(args) == 2)
	db, err := sql.Open("sqlite", "file:"+ts.MkAbs(args[0])+"?_pragma=busy_timeout(20000)")
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(ts.ReadFile(args[1]))
	ts.Check(err)
}

// sqlEmptyCmd waits until a table has no rows: sql-empty FILE TABLE.
func sqlEmptyCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "sql-empty", neg, len(args) == 2)
	db, err := sql.Open("sqlite", "file:"+ts.MkAbs(args[0])+"?_pragma=busy_timeout(20000)")
	ts.Check(err)
	defer db.Close()
	for until := time.Now().Add(scriptPatience); ; {
		var n int
		ts.Check(db.QueryRow("SELECT count(*) FROM " + args[1]).Scan(&n))
		if n == 0 {
			return
		}
		if time.Now().After(until) {
			ts.Fatalf("%s has %d rows", args[1], n)
		}
		<-time.After(20 * time.Millisecond)
	}
}
