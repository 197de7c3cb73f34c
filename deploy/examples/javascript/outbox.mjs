// A message that is committed with the patient's change, or not at all: a row of the table that
// `redoxworker outbox migrate` makes in PostgreSQL, and that run or `redoxworker outbox relay` reads.

import { randomUUID } from "node:crypto";
import pg from "pg";
import { orderToken, readSecret } from "./redox.mjs";

// enqueue writes a message in the transaction of client. Messages of a source with one order key
// are published in the order in which their transactions commit.
export async function enqueue(client, secret, { id = randomUUID(), source, orderKey, set = {}, body }) {
  let token = "";
  if (orderKey !== undefined) {
    token = orderToken(secret, orderKey);
    await client.query(
      "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0)), pg_advisory_xact_lock(hashtextextended($2, 0))",
      [`redox_outbox lane ${token[0]}`, `redox_outbox ${source} ${token}`],
    );
  }
  const head = Object.entries(set).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  await client.query("INSERT INTO redox_outbox (id, source, token, request, message) VALUES ($1, $2, $3, 0, $4)", [
    id, source, token, Buffer.concat([Buffer.from(`NATS/1.0\r\n${head}\r\n`), body]),
  ]);
  return id;
}

if (import.meta.filename === process.argv[1]) {
  const secret = readSecret(process.env.ORDER_SECRET_FILE ?? "data/order.secret");
  const client = new pg.Client(); // by PGHOST, PGDATABASE and the like
  await client.connect();
  await client.query("CREATE TABLE IF NOT EXISTS visits (id text PRIMARY KEY, mrn text NOT NULL, state text NOT NULL)");
  const visit = randomUUID();
  for (const state of ["Arrival", "Discharge"]) {
    await client.query("BEGIN");
    await client.query("INSERT INTO visits VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET state = excluded.state", [visit, "MRN 1", state]);
    const id = await enqueue(client, secret, {
      id: `${visit}-${state}`,
      source: "clinic-a",
      orderKey: "MRN 1",
      set: { "Redox-Reply-To": `redox.reply.clinic-a.${visit}-${state}` },
      body: Buffer.from(JSON.stringify({
        Meta: { DataModel: "PatientAdmin", EventType: state, Test: true, Destinations: [{ ID: "de570000-0000-4000-8000-000000000001" }] },
        Patient: { Identifiers: [{ ID: "MRN 1", IDType: "MR" }] },
      })),
    });
    await client.query("COMMIT");
    console.log(`committed ${id}`);
  }
  await client.end();
}
