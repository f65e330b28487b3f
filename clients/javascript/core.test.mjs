// `@icp-sdk/core`, unmodified, and canisters in three languages: v4 calls, v3 queries and
// read_state, v2 status.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import {
  Actor,
  Certificate,
  HttpAgent,
  ReplicaRejectCode,
  lookupResultToBuffer,
} from "@icp-sdk/core/agent";
import { IDL } from "@icp-sdk/core/candid";
import { Ed25519KeyIdentity } from "@icp-sdk/core/identity";
import { Principal } from "@icp-sdk/core/principal";

import { cCounter, limits, motokoCounter, watCounter } from "./interfaces.mjs";
import {
  connect,
  deploy,
  effectiveCanisterId,
  hex,
  host,
  install,
  managementOf,
  rejects,
} from "./network.mjs";

const sdk = { Actor, HttpAgent, Principal };
const KEEP = {
  upgrade: [{ skip_pre_upgrade: [], wasm_memory_persistence: [{ keep: null }] }],
};
const UPGRADE = { upgrade: [] };
const { CanisterError, CanisterReject } = ReplicaRejectCode;

const owner = Ed25519KeyIdentity.generate();
let agent;
let ic;

before(async () => {
  agent = await connect(sdk, owner);
  ic = managementOf(sdk, agent, await effectiveCanisterId(sdk));
});

test("the status names the root key", async () => {
  const status = await agent.status();
  assert.equal(hex(new Uint8Array(status.root_key)), hex(agent.rootKey));
  assert.equal(status.replica_health_status, "healthy");
});

describe("motoko", () => {
  let canisterId;
  let actor;

  before(async () => {
    ({ canisterId, actor } = await deploy(sdk, agent, "motoko/counter", motokoCounter));
  });

  test("counts in updates and answers signed queries", async () => {
    assert.equal(await actor.inc(), 1n);
    assert.equal(await actor.add(41n), 42n);
    assert.equal(await actor.get(), 42n);
    assert.equal(await actor.greet("world"), "Hello, world!");
  });

  test("answers in the call's own response with a certificate", async () => {
    const result = await agent.update(canisterId, {
      methodName: "add",
      arg: IDL.encode([IDL.Nat], [0n]),
    });
    assert.equal(result.callResponse.status, 200);
    assert.equal(IDL.decode([IDL.Nat], result.reply)[0], await actor.get());
    assert.ok(result.rawCertificate.length > 0);
  });

  test("rolls a trap back and reports it", async () => {
    const before = await actor.get();
    await rejects(actor.incThenTrap(), CanisterError, "IC0503", /deliberate trap/);
    assert.equal(await actor.get(), before);
  });

  test("reports a canister's own reject", async () => {
    await rejects(actor.refuse(), CanisterReject, "IC0406", /deliberate reject/);
  });

  test("calls another canister", async () => {
    const peer = await deploy(sdk, agent, "motoko/counter", motokoCounter);
    assert.equal(await actor.callInc(peer.canisterId), 1n);
    assert.equal(await actor.callInc(peer.canisterId), 2n);
    assert.match(await actor.callTrap(peer.canisterId), /deliberate trap/);
    assert.equal(await peer.actor.get(), 2n);
  });

  test("certifies data", async () => {
    const data = new Uint8Array(32).fill(7);
    await actor.setCertified(data);
    const [bytes] = await actor.certificate();
    const certificate = await Certificate.create({
      certificate: new Uint8Array(bytes),
      rootKey: agent.rootKey,
      principal: { canisterId },
      agent,
    });
    const path = ["canister", canisterId.toUint8Array(), "certified_data"];
    const found = lookupResultToBuffer(certificate.lookup_path(path));
    assert.ok(found, "the certificate holds no certified_data");
    assert.equal(hex(found), hex(data));
  });

  test("runs a recurring timer", async () => {
    await actor.startTicks();
    let ticks = 0n;
    for (let attempt = 0; attempt < 100 && ticks < 2n; attempt++) {
      await pause(100);
      ticks = await actor.getTicks();
    }
    assert.ok(ticks >= 2n, `${ticks} ticks`);
    assert.ok((await actor.stopTicks()) >= ticks);
  });

  test("keeps the counter over an upgrade", async () => {
    const before = await actor.inc();
    await install(ic, canisterId, "motoko/counter_v2", KEEP);
    assert.equal(await actor.get(), before);
    assert.equal(await actor.version(), 2n);
    assert.equal(await actor.dec(), before - 1n);
  });
});

describe("c", () => {
  test("keeps a counter in stable memory over an upgrade", async () => {
    const { canisterId, actor } = await deploy(sdk, agent, "c/counter", cCounter);
    assert.equal(await actor.inc(), 1n);
    assert.equal(await actor.add(9n), 10n);
    await rejects(actor.inc_then_trap(), CanisterError, "IC0503", /deliberate trap/);
    await install(ic, canisterId, "c/counter", UPGRADE);
    assert.equal(await actor.get(), 10n);
  });
});

describe("wat", () => {
  test("counts in ordinary memory, which an upgrade clears", async () => {
    const { canisterId, actor } = await deploy(sdk, agent, "wat/counter", watCounter);
    assert.equal(await actor.inc(), 1);
    assert.equal(await actor.add(4), 5);
    await rejects(actor.inc_then_trap(), CanisterError, "IC0503", /deliberate trap/);
    assert.equal(await actor.get(), 5);
    await install(ic, canisterId, "wat/counter", UPGRADE);
    assert.equal(await actor.get(), 0);
  });

  test("has no method of that name", async () => {
    const { actor } = await deploy(sdk, agent, "wat/counter", watCounter);
    await rejects(actor.missing(), CanisterError, "IC0536", /missing/);
  });

  test("runs long messages in slices and bounds recursion", async () => {
    const { actor } = await deploy(sdk, agent, "wat/limits", limits);
    assert.ok((await actor.spin(2_500_000_000n)) >= 2_500_000_000n);
    assert.equal(await actor.recurse(1_000n), 1_000n);
    await rejects(actor.recurse(100_000_000n), CanisterError, "IC0502", /./);
    assert.equal(await actor.ended(), 2n);
  });
});

test("garbage is refused with a reason", async () => {
  const target = await effectiveCanisterId(sdk);
  const response = await fetch(new URL(`/api/v4/canister/${target}/call`, host), {
    method: "POST",
    headers: { "content-type": "application/cbor" },
    body: new Uint8Array([0xff, 0x00, 0x01]),
  });
  assert.equal(response.status, 400);
  assert.notEqual(await response.text(), "");
});
