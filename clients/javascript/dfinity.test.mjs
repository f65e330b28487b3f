// `@dfinity/agent` 3, the older generation, unmodified: v3 calls, v2 queries, read_state and status.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { Actor, CanisterStatus, HttpAgent, ReplicaRejectCode } from "@dfinity/agent";
import { Ed25519KeyIdentity } from "@dfinity/identity";
import { Principal } from "@dfinity/principal";

import { cCounter, motokoCounter } from "./interfaces.mjs";
import { connect, deploy, rejects, sha256, wasm } from "./network.mjs";

const sdk = { Actor, HttpAgent, Principal };
let agent;

before(async () => {
  agent = await connect(sdk, Ed25519KeyIdentity.generate());
});

test("creates, installs, updates and queries", async () => {
  const { actor } = await deploy(sdk, agent, "motoko/counter", motokoCounter);
  assert.equal(await actor.inc(), 1n);
  assert.equal(await actor.get(), 1n);
  assert.equal(await actor.greet("v3"), "Hello, v3!");
  await rejects(actor.incThenTrap(), ReplicaRejectCode.CanisterError, "IC0503", /deliberate trap/);
  assert.equal(await actor.get(), 1n);
});

test("reads the state", async () => {
  const { canisterId } = await deploy(sdk, agent, "c/counter", cCounter);
  const status = await CanisterStatus.request({
    agent,
    canisterId,
    paths: ["time", "module_hash", "controllers", "candid"],
  });
  assert.equal(status.get("module_hash"), sha256(wasm("c/counter")));
  assert.ok(Math.abs(status.get("time").getTime() - Date.now()) < 60_000);
  assert.equal(status.get("controllers").length, 1);
  assert.match(status.get("candid"), /nat64/);
});
