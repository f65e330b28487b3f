// `@icp-sdk/canisters` 3 over `@icp-sdk/core` 5, unmodified: the management canister as
// applications in JavaScript use it.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import {
  IcManagementCanister,
  LogVisibility,
  encodeSnapshotId,
} from "@icp-sdk/canisters/ic-management";
import { Actor, HttpAgent } from "@icp-sdk/core/agent";
import { Ed25519KeyIdentity } from "@icp-sdk/core/identity";
import { Principal } from "@icp-sdk/core/principal";

import { cCounter, watCounter } from "../interfaces.mjs";
import { actorOf, connect, hex, sha256, wasm } from "../network.mjs";

const sdk = { Actor, HttpAgent, Principal };
const NO_ARGUMENTS = new Uint8Array([0x44, 0x49, 0x44, 0x4c, 0, 0]);
const INSTALL = { install: null };
const CHUNK = 300;

const owner = Ed25519KeyIdentity.generate();
let agent;
let ic;

before(async () => {
  agent = await connect(sdk, owner);
  ic = IcManagementCanister.create({ agent });
});

const create = (settings) => ic.provisionalCreateCanisterWithCycles({ settings });

const installed = async (path, settings) => {
  const canisterId = await create(settings);
  const wasmModule = wasm(path);
  await ic.installCode({ mode: INSTALL, canisterId, wasmModule, arg: NO_ARGUMENTS });
  return canisterId;
};

describe("the management canister", () => {
  test("creates, installs, upgrades and uninstalls", async () => {
    const canisterId = await installed("wat/counter");
    const actor = actorOf(sdk, agent, canisterId, watCounter);
    assert.equal(await actor.inc(), 1);
    const mode = { upgrade: [] };
    const wasmModule = wasm("wat/counter");
    await ic.installCode({ mode, canisterId, wasmModule, arg: NO_ARGUMENTS });
    assert.equal(await actor.get(), 0);
    await ic.uninstallCode({ canisterId });
    await assert.rejects(actor.inc(), /IC0537/);
  });

  test("creates with an amount of cycles, and with an id", async () => {
    const amount = 5_000_000_000_000n;
    const canisterId = await ic.provisionalCreateCanisterWithCycles({ amount });
    const { cycles } = await ic.canisterStatus({ canisterId });
    assert.ok(cycles <= amount && cycles > (amount * 4n) / 5n, `${cycles}`);
    // An id can be asked for, and this one is taken.
    const taken = ic.provisionalCreateCanisterWithCycles({ canisterId });
    await assert.rejects(taken, /IC0\d{3}/);
  });

  test("changes settings and shows them", async () => {
    const canisterId = await installed("c/counter");
    const friend = Ed25519KeyIdentity.generate().getPrincipal().toText();
    const controllers = [owner.getPrincipal().toText(), friend];
    await ic.updateSettings({
      canisterId,
      settings: {
        controllers,
        freezingThreshold: 1_000n,
        computeAllocation: 0n,
        memoryAllocation: 1n << 24n,
        wasmMemoryLimit: 1n << 28n,
        logVisibility: LogVisibility.Public,
      },
    });
    for (const certified of [true, false]) {
      const status = await ic.canisterStatus({ canisterId, certified });
      assert.deepEqual(status.settings.controllers.map(String).sort(), controllers.sort());
      assert.equal(status.settings.freezing_threshold, 1_000n);
      assert.equal(status.settings.memory_allocation, 1n << 24n);
      assert.equal(status.settings.wasm_memory_limit, 1n << 28n);
      assert.deepEqual(status.settings.log_visibility, { public: null });
      assert.equal(hex(status.module_hash[0]), sha256(wasm("c/counter")));
    }
  });

  test("stops, starts and deletes", async () => {
    const canisterId = await installed("c/counter");
    const actor = actorOf(sdk, agent, canisterId, cCounter);
    await ic.stopCanister(canisterId);
    assert.deepEqual((await ic.canisterStatus({ canisterId })).status, { stopped: null });
    await assert.rejects(actor.inc(), /IC0508/);
    await ic.startCanister(canisterId);
    assert.equal(await actor.inc(), 1n);
    await ic.stopCanister(canisterId);
    await ic.deleteCanister(canisterId);
    await assert.rejects(actor.inc(), /IC0301/);
  });

  test("installs from chunks", async () => {
    const canisterId = await create();
    const whole = wasm("wat/counter");
    const hashes = [];
    for (let at = 0; at < whole.length; at += CHUNK) {
      hashes.push(await ic.uploadChunk({ canisterId, chunk: whole.slice(at, at + CHUNK) }));
    }
    assert.ok(hashes.length > 1);
    const stored = await ic.storedChunks({ canisterId });
    const known = (list) => list.map(({ hash }) => hex(hash)).sort();
    assert.deepEqual(known(stored), known(hashes));
    await ic.installChunkedCode({
      mode: INSTALL,
      targetCanisterId: canisterId,
      chunkHashesList: hashes,
      wasmModuleHash: sha256(whole),
      arg: NO_ARGUMENTS,
    });
    assert.equal(await actorOf(sdk, agent, canisterId, watCounter).inc(), 1);
    await ic.clearChunkStore({ canisterId });
    assert.deepEqual(await ic.storedChunks({ canisterId }), []);
  });

  test("takes and loads snapshots", async () => {
    const canisterId = await installed("wat/counter");
    const actor = actorOf(sdk, agent, canisterId, watCounter);
    await actor.add(7);
    const { id: snapshotId } = await ic.takeCanisterSnapshot({ canisterId });
    assert.equal(await actor.inc(), 8);
    const listed = await ic.listCanisterSnapshots({ canisterId });
    assert.deepEqual(
      listed.map(({ id }) => encodeSnapshotId(id)),
      [encodeSnapshotId(snapshotId)],
    );
    await ic.stopCanister(canisterId);
    await ic.loadCanisterSnapshot({ canisterId, snapshotId });
    await ic.startCanister(canisterId);
    assert.equal(await actor.get(), 7);
    await ic.deleteCanisterSnapshot({ canisterId, snapshotId });
    assert.deepEqual(await ic.listCanisterSnapshots({ canisterId }), []);
  });

  test("fetches logs", async () => {
    const canisterId = await installed("wat/counter");
    const actor = actorOf(sdk, agent, canisterId, watCounter);
    await assert.rejects(actor.inc_then_trap(), /deliberate trap/);
    const { canister_log_records: records } = await ic.fetchCanisterLogs(canisterId);
    const lines = records.map(({ content }) => Buffer.from(content).toString());
    assert.ok(
      lines.some((line) => line.includes("deliberate trap")),
      lines.join("\n"),
    );
  });

  test("obeys controllers only", async () => {
    const canisterId = await installed("c/counter");
    const stranger = await connect(sdk, Ed25519KeyIdentity.generate());
    const theirs = IcManagementCanister.create({ agent: stranger });
    await assert.rejects(theirs.stopCanister(canisterId), /IC0512/);
    await assert.rejects(theirs.canisterStatus({ canisterId }), /IC0512/);
    const settings = { controllers: [String(await stranger.getPrincipal())] };
    await assert.rejects(theirs.updateSettings({ canisterId, settings }), /IC0512/);
  });
});
