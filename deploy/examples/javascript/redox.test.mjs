// The vectors of the contract.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { dedupId, orderToken } from "./redox.mjs";

const vectors = JSON.parse(readFileSync(new URL("../../../outbox/testdata/vectors.json", import.meta.url)));

test("order tokens", () => {
  for (const { secret, key, token } of vectors.order_tokens) assert.equal(orderToken(secret.trim(), key), token);
  for (const secret of vectors.refused.order_secrets) assert.throws(() => orderToken(secret.trim(), "MRN 1"));
  for (const key of vectors.refused.order_keys) assert.throws(() => orderToken("0123456789abcdef", key));
});

test("ids of the queue", () => {
  for (const { secret, source, message_id, nats_msg_id } of vectors.nats_msg_ids) {
    if (secret) assert.equal(dedupId(secret.trim(), source, message_id), nats_msg_id);
  }
});
