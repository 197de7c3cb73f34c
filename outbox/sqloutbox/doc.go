// Package sqloutbox is a transactional outbox: a message is written to a table of the
// application's database in the transaction that changes the patient's data, and is committed
// with that change or not at all. A [Relay] then publishes it to the work queue and deletes
// the row.
//
//	tx, err := db.BeginTx(ctx, nil)
//	…                                             // the application's own statements
//	ids, err := box.Enqueue(ctx, tx, outbox.Message{Source: "clinic-a", OrderKey: patient, Body: body})
//	err = tx.Commit()
//	box.Kick()                                    // where the relay runs in the same process
//
// It runs on PostgreSQL, MySQL 8.0.16 or newer, MariaDB 10.6 or newer, and SQLite 3.35 or newer,
// through database/sql, and links no driver. Package pgxtx takes the transactions of pgx.
// [Outbox.Migrate] and `redoxworker outbox migrate` make the tables.
//
// # Order
//
// Messages of a source with the same order key are published in the order in which their
// transactions commit. Enqueue holds a lock of the key until the end of the transaction for
// that: see [Outbox.Enqueue]. Relays share the table by lanes, sixteen parts of it: one relay
// owns a lane at a time and publishes the messages of one order key one after the other. If a
// relay dies, another takes over its lanes at once (on SQLite after three seconds).
//
// # Repeats
//
// A relay that dies between the confirmation of NATS and the DELETE leaves rows that are
// published again, under the same id, which the queue knows for ten minutes. The relay notes
// what it is about to publish; a repeat that the queue may have forgotten is marked
// Redox-Possible-Duplicate or held, see [RelayConfig].
//
// A database that an older copy takes the place of, a replica that was promoted or a backup, brings rows back that
// were published. The queue drops those of the last ten minutes; others are published again, and nothing tells
// them from new ones. Delete them before a relay runs on a backup: the audit trail has the ids of what was settled.
//
// # Rights
//
// A relay needs, on the table and those whose names begin with its name: SELECT and DELETE on
// redox_outbox; SELECT, INSERT and DELETE on _failed; SELECT and UPDATE on _lane; SELECT, INSERT, UPDATE and
// DELETE on _try; SELECT on _schema; on MySQL SELECT and UPDATE on _stripe. An application needs INSERT
// on redox_outbox, and on MySQL SELECT and UPDATE on _stripe; whoever retries failed rows needs INSERT and
// what a relay needs. [Outbox.CheckRights] tries a relay's.
//
// # Hosts that are gone
//
// A relay that ends loses its connection, and with it its lanes. Of a host that is gone the server may hear
// nothing for hours. PostgreSQL takes the lanes away after twenty seconds without a word, unless
// idle_in_transaction_session_timeout is set otherwise; on MySQL set wait_timeout in the relay's data source,
// as `redoxworker outbox relay` and `run` do (30 s), and let the pool close idle connections before.
//
// # Rows of other languages
//
// A program in any language writes the row by itself: its columns, and the lock of the order key
// that its transaction takes first, are in CONTRACT.md of package outbox, under "Rows of the SQL
// outbox".
package sqloutbox
