"""A message that is committed with the patient's change, or not at all: a row of the table that
`redoxworker outbox migrate` makes, and that run or `redoxworker outbox relay` reads. Messages of a
source with one order key are published in the order in which their transactions commit."""

import json
import os
import sys
import uuid

from tokens import order_token, read_secret


def row(secret: bytes, *, source: str, body: bytes, id: str | None = None, order_key: str | None = None, headers: dict | None = None):
    """The columns id, source, token, request and message."""
    token = "" if order_key is None else order_token(secret, order_key)
    head = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return id or str(uuid.uuid4()), source, token, 0, f"NATS/1.0\r\n{head}\r\n".encode() + body


INSERT = "INSERT INTO redox_outbox (id, source, token, request, message) VALUES (?, ?, ?, ?, ?)"


def enqueue_sqlite(connection, row) -> None:
    """In the transaction of a connection, which began with BEGIN IMMEDIATE: SQLite has one writer at a time."""
    connection.execute(INSERT, row)


def enqueue_postgres(connection, row) -> None:
    """In the transaction of a connection of psycopg, which then has the lock of the order key."""
    _, source, token, _, _ = row
    if token:
        connection.execute(
            "SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0)), pg_advisory_xact_lock(hashtextextended(%s, 0))",
            (f"redox_outbox lane {token[0]}", f"redox_outbox {source} {token}"),
        )
    connection.execute(INSERT.replace("?", "%s"), row)


def visit(secret: bytes, state: str, visit: str):
    body = {
        "Meta": {"DataModel": "PatientAdmin", "EventType": state, "Test": True, "Destinations": [{"ID": "de570000-0000-4000-8000-000000000001"}]},
        "Patient": {"Identifiers": [{"ID": "MRN 1", "IDType": "MR"}]},
    }
    id = f"{visit}-{state}"
    headers = {"Redox-Reply-To": f"redox.reply.clinic-a.{id}"}
    return row(secret, id=id, source="clinic-a", order_key="MRN 1", headers=headers, body=json.dumps(body).encode())


def main(database: str) -> None:
    secret = read_secret(os.environ.get("ORDER_SECRET_FILE", "data/order.secret"))
    if postgres := database.startswith("postgres"):
        import psycopg

        connection, enqueue, mark = psycopg.connect(database, autocommit=True), enqueue_postgres, "%s"
    else:
        import sqlite3

        connection, enqueue, mark = sqlite3.connect(database, timeout=10, isolation_level=None), enqueue_sqlite, "?"
    connection.execute("CREATE TABLE IF NOT EXISTS visits (id text PRIMARY KEY, mrn text NOT NULL, state text NOT NULL)")
    number = str(uuid.uuid4())
    upsert = "INSERT INTO visits VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state".replace("?", mark)
    for state in ("Arrival", "Discharge"):
        connection.execute("BEGIN" if postgres else "BEGIN IMMEDIATE")
        try:
            connection.execute(upsert, (number, "MRN 1", state))
            message = visit(secret, state, number)
            enqueue(connection, message)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        print("committed", message[0])
    connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
