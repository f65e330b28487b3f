// What every suite does first: find the node's two endpoints.

import assert from "node:assert/strict";

export const rpcUrl = process.env.TRILITH_ACCOUNT_URL;
assert.ok(
  rpcUrl,
  "TRILITH_ACCOUNT_URL must hold the account endpoint, for example http://127.0.0.1:8899",
);

// Clients reckon the port of PubSub as the next one.
const pubsub = new URL(rpcUrl);
pubsub.protocol = "ws:";
pubsub.port = String(Number(pubsub.port) + 1);
export const pubsubUrl = pubsub.href;

// One raw call, for what clients hide: codes, texts and data of errors.
export async function call(method, params = [], id = 1) {
  const response = await fetch(rpcUrl, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id, method, params }),
  });
  return response.json();
}
