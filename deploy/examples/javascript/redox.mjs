// A client of redoxworker for one source. What goes over the wire is in outbox/CONTRACT.md.

import { createHmac, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { AckPolicy, jetstream, JetStreamApiError, jetstreamManager } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";
import { headers, TimeoutError } from "@nats-io/transport-node";

// What fits into a message beside its headers; larger bodies go through the object store.
const room = (nc) => nc.info.max_payload - 16 * 1024;

// The order secret is the text of a file that all publishers and the gateway share.
export const readSecret = (file) => readFileSync(file, "utf8").trim(); // trim takes a byte order mark, too

const hmac = (secret, text) => createHmac("sha256", secret).update(text).digest("hex").slice(0, 32);

// orderToken makes the token of an order key, such as a patient's id.
export function orderToken(secret, key) {
  if (Buffer.byteLength(secret) < 16) throw new Error("the order secret has less than 16 bytes");
  if (key === "" || key.trim() !== key) throw new Error("the order key is empty, or has white space around it");
  return hmac(secret, key);
}

// dedupId makes the Nats-Msg-Id of a message: no other source can make it.
export const dedupId = (secret, source, id) => `${source}:${hmac(secret, `\n${source}\n${id}`)}`;

export class Redox {
  constructor(nc, source, secret) {
    Object.assign(this, { nc, source, secret, js: jetstream(nc) });
  }

  // send stores a SEND and answers when it is stored. Messages with one order key stay in the
  // order in which they were stored: wait for each before the next. set are more headers, such as
  // Redox-Kind. The reply comes to replies().
  async send(body, { id = randomUUID(), orderKey, set = {} } = {}) {
    const h = headers();
    h.set("Redox-Message-Id", id);
    h.set("Nats-Msg-Id", dedupId(this.secret, this.source, id));
    h.set("Redox-Reply-To", `redox.reply.${this.source}.${randomUUID()}`);
    for (const [name, value] of Object.entries(set)) h.set(name, value);
    if (body.length > room(this.nc)) {
      h.set("Redox-Body-Object", await this.#store(body));
      body = "";
    }
    let subject = `redox.out.${this.source}.send`;
    if (orderKey !== undefined) subject += `.${orderToken(this.secret, orderKey)}`;
    for (let tries = 1; ; tries++) {
      try {
        return { id, ...(await this.js.publish(subject, body, { headers: h, retries: 10 })) };
      } catch (err) {
        // No answer is no proof that nothing was stored: again, under the same id.
        if (!(err instanceof TimeoutError) || tries === 5) throw err;
      }
    }
  }

  // request sends a query through the gateway and answers with its reply.
  async request(body, { id = randomUUID(), timeout = 150_000, set = {} } = {}) {
    const h = headers();
    h.set("Redox-Message-Id", id);
    for (const [name, value] of Object.entries(set)) h.set(name, value);
    const msg = await this.nc.request(`redox.gateway.${this.source}.request`, body, { headers: h, timeout });
    if (msg.headers?.has("Nats-Service-Error-Code")) {
      throw new Error(`not stored: ${msg.headers.get("Nats-Service-Error-Code")} ${msg.headers.get("Nats-Service-Error")}`);
    }
    return this.#reply(msg);
  }

  // replies are all replies of the source, as they come, each at least once. All processes share
  // them by one durable consumer, which goes on where they were; a reply is done when its ack()
  // was called. Break out of the loop to stop.
  async *replies() {
    const name = `${this.source}-replies`;
    const { consumers } = await jetstreamManager(this.nc);
    try {
      await consumers.info("REDOX_REPLIES", name);
    } catch (err) {
      if (!(err instanceof JetStreamApiError) || err.code !== 10014) throw err; // consumer not found
      await consumers.add("REDOX_REPLIES", {
        durable_name: name,
        filter_subject: `redox.reply.${this.source}.>`,
        ack_policy: AckPolicy.Explicit,
        ack_wait: 10_000_000_000, // ns
        max_ack_pending: 1, // one after the other, in order
        max_deliver: -1,
      });
    }
    const consumer = await this.js.consumers.get("REDOX_REPLIES", name);
    for await (const msg of await consumer.consume({ max_messages: 1 })) {
      yield { ...(await this.#reply(msg)), ack: () => msg.ackAck() };
    }
  }

  async #reply(msg) {
    const get = (name) => msg.headers.get(name) || undefined;
    const object = get("Redox-Body-Object");
    return {
      id: get("Redox-Message-Id"),
      settlement: get("Redox-Settlement"),
      status: Number(get("Redox-Status")) || undefined,
      error: get("Redox-Error"),
      possibleDuplicate: get("Redox-Possible-Duplicate") === "true",
      body: object ? Buffer.from(await (await this.#bodies()).getBlob(object)) : Buffer.from(msg.data),
    };
  }

  #bodies() {
    return new Objm(this.nc).open("REDOX_BODIES");
  }

  async #store(body) {
    const name = `${this.source}/${randomUUID()}`;
    await (await this.#bodies()).putBlob({ name }, body);
    return name;
  }
}
