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
// It runs on PostgreSQL, MySQL 8.0 or newer, MariaDB 10.6 or newer, and SQLite 3.42 or newer,
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
// # Rows of other languages
//
// A row needs id, source, token, request and message. message is a NATS header block with the
// headers of the wire contract (CONTRACT.md), but for Nats-Msg-Id and Redox-Message-Id, then the body:
//
//	NATS/1.0\r\n
//	Redox-Kind: fhir\r\n
//	Redox-Path: Patient\r\n
//	\r\n
//	{…}
//
// token is the order token or empty, request is 1 for a REQUEST. For ordered messages the
// transaction takes the lock of the token before the INSERT. On PostgreSQL:
//
//	SELECT pg_advisory_xact_lock_shared(hashtextextended('redox_outbox lane <first digit of token>', 0));
//	SELECT pg_advisory_xact_lock(hashtextextended('redox_outbox <source> <token>', 0));
//
// On MySQL and MariaDB the lock is a row, where n is the first four hex digits of the token, as
// a number, divided by 64 without remainder:
//
//	SELECT n FROM redox_outbox_stripe WHERE n = 417 FOR UPDATE;
//
// SQLite has one writer at a time and needs no lock.
package sqloutbox
