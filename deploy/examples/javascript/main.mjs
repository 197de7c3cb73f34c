// Everything that an application does with redoxworker, once. See README.md.

import { randomUUID } from "node:crypto";
import { connect } from "@nats-io/transport-node";
import { readSecret, Redox } from "./redox.mjs";

const { NATS_URL = "nats://127.0.0.1:4222", ORDER_SECRET_FILE = "data/order.secret" } = process.env;

const message = (DataModel, EventType, rest) =>
  Buffer.from(JSON.stringify({
    Meta: { DataModel, EventType, Test: true, Destinations: [{ ID: "de570000-0000-4000-8000-000000000001" }] },
    ...rest,
  }));

const nc = await connect({ servers: NATS_URL });
const redox = new Redox(nc, "clinic-a", readSecret(ORDER_SECRET_FILE));

// Three messages about one patient stay in this order; a large one goes through the object store.
const visit = randomUUID();
const waiting = new Set();
for (const [event, note] of [["Arrival", ""], ["VisitUpdate", "x".repeat(2_000_000)], ["Discharge", ""]]) {
  const body = message("PatientAdmin", event, { Patient: { Identifiers: [{ ID: "MRN 1", IDType: "MR" }], Notes: [note] } });
  const { id, duplicate } = await redox.send(body, { id: `${visit}-${event}`, orderKey: "MRN 1" });
  console.log(`stored ${event}${duplicate ? ", again" : ""}`);
  waiting.add(id);
}

// Sent again under its id, nothing happens twice.
const again = await redox.send(message("PatientAdmin", "Discharge", {}), { id: `${visit}-Discharge`, orderKey: "MRN 1" });
console.log(`again: duplicate ${again.duplicate}`);

// A query and its answer.
const answer = await redox.request(message("PatientSearch", "Query", { Patient: { Demographics: { LastName: "Example" } } }));
console.log(`query: ${answer.settlement} ${answer.status}, ${JSON.parse(answer.body).Meta.EventType}, ${answer.body.length > 1_000_000 ? "from the object store" : "in the message"}`);

// The replies to the messages, also to those of an earlier run that nobody has handled.
for await (const reply of redox.replies()) {
  if (waiting.delete(reply.id)) {
    console.log(`reply to ${reply.id.slice(visit.length + 1)}: ${reply.settlement} ${reply.status ?? ""}${reply.error ? `: ${reply.error}` : ""}`);
  }
  await reply.ack(); // when it is handled: who dies before gets it again
  if (waiting.size === 0) break;
}
await nc.close();
